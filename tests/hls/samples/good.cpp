// What the synthesis lint must accept: templates, constants, counted loops, macros in pragmas, and host-only code.
#include <stdint.h>

#ifndef __SYNTHESIS__
#include <vector>
#pragma HLS NO_SUCH_PRAGMA
#endif

#define REGISTER_N 0x1C
#define PRAGMA(text) _Pragma(#text)
#define REGISTER(name, at) PRAGMA(HLS INTERFACE mode = s_axilite port = name offset = at)

namespace sample {

constexpr int32_t kRows = 4;
const int32_t kDouble = 2 * kRows;
static const int8_t kTable[kRows] = {3, 1, 4, 1};
enum { kColumns = 8 };
using Tile = int8_t[kRows][kColumns];

struct Lane {
  Tile tile;
  int32_t bias = 0;
  int32_t Rows() const { return kRows; }
};

template <typename T, int32_t kLength>
T Sum(const T (&values)[kLength]) {
  T sum = 0;
Sum_Value:
  for (int32_t i = 0; i < kLength; ++i) {
#pragma HLS UNROLL factor = 2
    sum = static_cast<T>(sum + values[i]);
  }
  return sum;
}

inline void Fill(Lane &lane, const int32_t *memory, int32_t rows) {
#pragma HLS INLINE off
Fill_Row:
  for (int32_t row = 0; row < rows; ++row) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = kRows
  Fill_Column:
    for (int32_t column = 0; column < kColumns; ++column) {
#pragma HLS PIPELINE II = 1
      lane.tile[row][column] = static_cast<int8_t>(memory[row * kDouble + column]);
    }
  }
}

#ifndef __SYNTHESIS__
inline double OnTheHostOnly(const std::vector<double> &values) {
  double sum = 0;
  for (double value : values) sum += value;
  return sum;
}
#endif

}  // namespace sample

extern "C" void Top(int32_t *memory, int32_t n, int32_t *version) {
#pragma HLS INTERFACE mode = m_axi port = memory bundle = data offset = slave depth = 64
#pragma HLS INTERFACE mode = s_axilite port = memory offset = 0x10
  REGISTER(n, REGISTER_N)
#pragma HLS INTERFACE mode = s_axilite port = version offset = 0x24
#pragma HLS INTERFACE mode = s_axilite port = return
  static sample::Lane lane;
#pragma HLS ARRAY_PARTITION variable = lane.tile dim = 2 complete
#pragma HLS BIND_STORAGE variable = lane.tile type = ram_t2p impl = bram
  sample::Fill(lane, memory, n);
  const auto add = [&](int32_t value) { return value + lane.bias; };
  sample::Lane other = lane;
  memory[0] = add(sample::Sum(sample::kTable)) + other.Rows();
  *version = 1;
}
