// Planted faults for the synthesis lint: `finds:` names what it must report on that line, no more and no less.
#include <stdint.h>
#include <stdlib.h>

#include <array>

struct Shape {
  virtual int32_t Area() const { return 1; }  // finds: virtual
};

static int32_t counter = 0;
static const int32_t kTable[4] = {1, 2, 3, 4};
int32_t Elsewhere(int32_t value);

int32_t Factorial(int32_t n) {
  return n < 2 ? 1 : n * Factorial(n - 1);  // finds: recursion
}

int32_t Ping(int32_t n);
int32_t Pong(int32_t n) {
  return n > 0 ? Ping(n - 1) : 0;  // finds: recursion
}
int32_t Ping(int32_t n) { return Pong(n); }

int32_t Apply(int32_t (*operation)(int32_t), int32_t x) {  // finds: function-pointer
  return operation(x);                                     // finds: function-pointer
}
int32_t Twice(int32_t x) { return 2 * x; }

template <int32_t kCount>
int32_t Instance(int32_t n) {
  int32_t sum = 0;
Instance_Static:
  for (int32_t i = 0; i < kCount; ++i) sum += i;
Instance_Dynamic:
  for (int32_t i = 0; i < kCount + n; ++i) sum += i;  // finds: loop-bound
  return sum;
}

int32_t Unreachable(int32_t x) {
  while (x > 0) --x;
  return static_cast<int32_t>(x * 0.5);
}

int32_t Loops(int32_t n) {
#pragma HLS UNROLL factor = 2  // finds: pragma-place
  int32_t sum = 0;
  while (sum < n) ++sum;  // finds: loop-kind
  do {                    // finds: loop-kind
    --sum;
  } while (sum > 0);
  for (int32_t i = 0; i < 4; ++i) sum += i;  // finds: loop-label
Loops_Bound:
  for (int32_t i = 0; i < n; ++i) {  // finds: loop-bound
  Loops_Inner:
    for (int32_t j = i; j < 8; ++j) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 8
      sum += j;
    }
  }
Loops_Step:
  for (int32_t i = 0; i < 16; i += n) sum += i;  // finds: loop-bound
Loops_Endless:
  for (;;) {  // finds: loop-bound
    if (++sum > n) break;
  }
  int32_t list[4] = {0, 1, 2, 3};
  for (int32_t value : list) sum += value;  // finds: loop-kind
  goto Loops_End;                           // finds: loop-kind
Loops_End:
  return sum;
}

int32_t Memory(int32_t n) {
  int32_t *heap = new int32_t[4];                                           // finds: heap
  delete[] heap;                                                            // finds: heap
  int32_t *block = static_cast<int32_t *>(malloc(static_cast<size_t>(n)));  // finds: heap
  free(block);                                                              // finds: heap
  int32_t lengths[n];                                                       // finds: array-bound
  lengths[0] = n;
  static int32_t kept = 0;                                    // finds: mutable-global
  ++kept;                                                     // finds: mutable-global
  ++counter;                                                  // finds: mutable-global
  std::array<int32_t, 4> values = {};                         // finds: stl
  const int8_t *bytes = reinterpret_cast<int8_t *>(lengths);  // finds: pointer-cast
  const int16_t *shorts = (const int16_t *)bytes;             // finds: pointer-cast
  return lengths[0] + shorts[0] + values[0];                  // finds: stl
}

int32_t Errors(int32_t n) {
  try {                  // finds: exception
    if (n < 0) throw n;  // finds: exception
  } catch (int32_t) {
  }
  float half = 0.5f;                    // finds: float
  n += static_cast<int32_t>(half * 3);  // finds: float
  Shape shape;                          // finds: virtual
  n += shape.Area();
  return n + Elsewhere(n) + abs(n);  // finds: outside-call
}

void Pragmas(const int32_t *source, int32_t *target) {
  int32_t line[16];
#pragma HLS BIND_OPS variable = line op = mul impl = dsp             // finds: unknown-pragma
#pragma HLS RESOURCE variable = line core = RAM_2P                   // finds: unknown-pragma
#pragma HLS ARRAY_PARTITION variabel = line complete                 // finds: unknown-option, option-missing
#pragma HLS ARRAY_PARTITION variable = lines complete                // finds: pragma-variable
#pragma HLS BIND_STORAGE variable = line type = ram_2p impl = bramm  // finds: option-value
#pragma HLS INTERFACE mode = m_axi port = source                     // finds: pragma-place
Pragmas_Copy:
  for (int32_t i = 0; i < 16; ++i) {
#pragma HLS LOOP_TRIPCOUNT min = 16  // finds: option-missing
#pragma HLS PIPELINE II = 1 rewindd  // finds: unknown-option
    line[i] = source[i];
    target[i] = line[i] + kTable[i % 4];
  }
}

extern "C" void Top(int32_t *memory, int32_t *output, int32_t n, int32_t m, int32_t *version) {  // finds: interface
#pragma HLS INTERFACE mode = m_axi port = memory bundel = data offset = slave  // finds: unknown-option
#pragma HLS INTERFACE mode = s_axilite port = memory offset = 0x10
#pragma HLS INTERFACE mode = s_axilite port = n offset = 0x18
#pragma HLS INTERFACE mode = m_axi port = output offset = slave
#pragma HLS INTERFACE s_axilite port = version
#pragma HLS INTERFACE port = m  // finds: unknown-option
  *version = 1;
  Pragmas(memory, output);
  output[0] = Factorial(n) + Ping(n) + Apply(Twice, n) + Instance<4>(m) + Loops(n) + Memory(n) + Errors(m);
}
