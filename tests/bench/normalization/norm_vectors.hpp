// The leaf loops of both norms in one style, so that neither has the better programmer: the compiler's own vectors of 32 bits, as wide as
// the instruction set's. L1's are byte-equal twins of hls/norm_loops.hpp. Included once for each instruction set, inside a namespace of
// norm_bench.cpp that defines kLanes; hence no include guard.
//
// A lane is one image: it holds the four channels of its quad, of which each step shifts one to the top and down again.

typedef int32_t Vector __attribute__((vector_size(4 * kLanes)));
typedef uint32_t Unsigned __attribute__((vector_size(4 * kLanes)));

constexpr uint32_t kParts = kImages / kLanes;  // of a word
constexpr uint32_t kPartBytes = kLanes * kQuad;

inline Vector Load(const int8_t *from) {
  Vector quads;
  __builtin_memcpy(&quads, from, sizeof quads);
  return quads;
}

inline void Store(int8_t *to, Unsigned quads) { __builtin_memcpy(to, &quads, sizeof quads); }

inline Vector Channel(Vector quads, uint32_t j) {
  const Unsigned top = reinterpret_cast<const Unsigned &>(quads) << (24 - 8 * j);
  return reinterpret_cast<const Vector &>(top) >> 24;
}

inline Unsigned Placed(Vector value, uint32_t j) {
  return (reinterpret_cast<const Unsigned &>(value) & 0xFFu) << (8 * j);
}

inline int32_t SumOf(Vector all) {
  int32_t sum = 0;
  for (uint32_t i = 0; i < kLanes; ++i) sum += all[i];
  return sum;
}

inline void AddLanes(const Vector all[kQuad], int32_t each[kQuad]) {
  for (uint32_t j = 0; j < kQuad; ++j) each[j] += SumOf(all[j]);
}

// -1 in the lanes of images that exist.
struct Present {
  Vector part[kParts];
  explicit Present(uint32_t images) {
    for (uint32_t n = 0; n < kImages; ++n) part[n / kLanes][n % kLanes] = n < images ? -1 : 0;
  }
};

inline Vector Saturate(Vector q, int32_t low) {
  const Vector most = Vector{} + kMaxInt8;
  const Vector least = Vector{} + low;
  q = q > most ? most : q;
  return q < least ? least : q;
}

inline Vector MaskedError(Vector error, Vector y, int32_t low) { return error & (y > low) & (y < kMaxInt8); }

void SumVectors(const int8_t *x, uint32_t words, int32_t sum[kQuad]) {
  Vector total[kQuad] = {};
  for (uint32_t at = 0; at < words * kWordBytes; at += kPartBytes) {
    const Vector quads = Load(x + at);
    for (uint32_t j = 0; j < kQuad; ++j) total[j] += Channel(quads, j);
  }
  AddLanes(total, sum);
}

void SumSquareVectors(const int8_t *x, uint32_t words, int32_t sum[kQuad], int32_t squares[kQuad]) {
  Vector total[kQuad] = {};
  Vector total_squares[kQuad] = {};
  for (uint32_t at = 0; at < words * kWordBytes; at += kPartBytes) {
    const Vector quads = Load(x + at);
    for (uint32_t j = 0; j < kQuad; ++j) {
      const Vector value = Channel(quads, j);
      total[j] += value;
      total_squares[j] += value * value;
    }
  }
  AddLanes(total, sum);
  AddLanes(total_squares, squares);
}

void CountAboveVectors(const int8_t *x, uint32_t words, const int32_t threshold[kQuad], QuadAbove &found) {
  Vector sum[kQuad] = {};
  Vector above[kQuad] = {};
  Vector equal[kQuad] = {};
  for (uint32_t at = 0; at < words * kWordBytes; at += kPartBytes) {
    const Vector quads = Load(x + at);
    for (uint32_t j = 0; j < kQuad; ++j) {
      const Vector value = Channel(quads, j);
      const Vector is_above = value > threshold[j];
      sum[j] += value & is_above;
      above[j] -= is_above;
      equal[j] -= value == threshold[j];
    }
  }
  AddLanes(sum, found.sum);
  AddLanes(above, found.above);
  AddLanes(equal, found.equal);
}

void NormalizeVectors(const int8_t *x, int8_t *y, uint32_t words, uint32_t images, const QuadNorm &norm) {
  const Present present(images);
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t p = 0; p < kParts; ++p) {
      const uint32_t at = w * kWordBytes + p * kPartBytes;
      const Vector quads = Load(x + at);
      Unsigned result = {};
      for (uint32_t j = 0; j < kQuad; ++j) {
        const Vector q = (Channel(quads, j) * norm.multiplier[j] + norm.constant[j]) >> STROP_SCALE_FRACTION;
        result |= Placed(Saturate(q, norm.low) & present.part[p], j);
      }
      Store(y + at, result);
    }
  }
}

void MaskedSumVectors(const int8_t *error, const int8_t *y, const int8_t *x, uint32_t words, int32_t low,
                      int32_t sum_dy[kQuad], int32_t sum_dy_x[kQuad]) {
  Vector s1[kQuad] = {};
  Vector s2[kQuad] = {};
  for (uint32_t at = 0; at < words * kWordBytes; at += kPartBytes) {
    const Vector errors = Load(error + at);
    const Vector outputs = Load(y + at);
    const Vector inputs = Load(x + at);
    for (uint32_t j = 0; j < kQuad; ++j) {
      const Vector dy = MaskedError(Channel(errors, j), Channel(outputs, j), low);
      s1[j] += dy;
      s2[j] += dy * Channel(inputs, j);
    }
  }
  AddLanes(s1, sum_dy);
  AddLanes(s2, sum_dy_x);
}

// v of 1.7 step 4 in channel j, by L1 and by L2.
inline Vector GradientOfValues(const QuadGradient &g, uint32_t j, Vector dy, Vector x) {
  const Vector slope = Vector{} + g.slope[j];
  const Vector level = dy * g.multiplier[j] - g.mean[j];
  return level - (slope & (x > g.threshold[j])) + (slope & (x < g.threshold[j] + 1 - g.whole[j]));
}

inline Vector GradientOfValues(const L2QuadGradient &g, uint32_t j, Vector dy, Vector x) {
  return dy * g.multiplier[j] - ((x * g.slope[j] + g.constant[j]) >> kSlopeFraction);
}

template <typename Gradient>
void NormGradientVectors(const int8_t *error, const int8_t *y, const int8_t *x, int8_t *target, uint32_t words,
                         uint32_t images, const Gradient &gradient, int32_t shift, const QuadDither &dither,
                         uint32_t first, uint32_t &over, uint32_t &half) {
  const Present present(images);
  const int32_t over_bound = Sat32(int64_t{kMaxInt8} << shift);
  const int32_t half_bound = Sat32((int64_t{kMaxInt8} << shift) >> 1);
  const int32_t right = shift <= 16 ? 16 - shift : 0;
  const int32_t left = shift > 16 ? shift - 16 : 0;
  Unsigned lane[kQuad][kParts];
  for (uint32_t b = 0; b < kWordBytes; ++b) lane[b % kQuad][b / kPartBytes][b / kQuad % kLanes] = dither.lane[b];
  Vector above = {};
  Vector above_half = {};
  DitherWalk walk = WalkFrom(dither, first);
  for (uint32_t w = 0; w < words; ++w) {
    for (uint32_t p = 0; p < kParts; ++p) {
      const uint32_t at = w * kWordBytes + p * kPartBytes;
      const Vector errors = Load(error + at);
      const Vector outputs = Load(y + at);
      const Vector inputs = Load(x + at);
      Unsigned result = {};
      for (uint32_t j = 0; j < kQuad; ++j) {
        const Vector dy = MaskedError(Channel(errors, j), Channel(outputs, j), gradient.low);
        const Vector v = GradientOfValues(gradient, j, dy, Channel(inputs, j)) & present.part[p];
        const Vector magnitude = v < 0 ? -v : v;
        above -= magnitude > over_bound;
        above_half -= magnitude > half_bound;
        const Unsigned index = (lane[j][p] + walk.index) * STROP_DITHER_STEP;
        const Unsigned bits = ((index & 0xFFFFu) >> right) << left;
        result |= Placed(Saturate((v + reinterpret_cast<const Vector &>(bits)) >> shift, -kMaxInt8), j);
      }
      Store(target + at, result);
    }
    NextWord(dither, walk);
  }
  over += static_cast<uint32_t>(SumOf(above));
  half += static_cast<uint32_t>(SumOf(above_half));
}

inline NormEngine MakeNormEngine() {
  NormEngine engine = {};
  engine.l1.SumWords = SumVectors;
  engine.l1.CountAbove = CountAboveVectors;
  engine.l1.NormalizeWords = NormalizeVectors;
  engine.l1.MaskedSums = MaskedSumVectors;
  engine.l1.NormGradientWords = NormGradientVectors<QuadGradient>;
  engine.l2.SumSquareWords = SumSquareVectors;
  engine.l2.NormGradientWords = NormGradientVectors<L2QuadGradient>;
  return engine;
}
