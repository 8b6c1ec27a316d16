// Softmax cross-entropy: loss, correct answers and the logit error, NUMERICS.md 1.6.
#ifndef STROP_SOFTMAX_HPP
#define STROP_SOFTMAX_HPP

#include "site.hpp"

namespace strop {

// EXP[d] = round(2^15 exp(-d/16))
constexpr int32_t kExp[256] = {
    32768, 30783, 28918, 27166, 25520, 23974, 22521, 21157, 19875, 18671, 17539, 16477, 15479, 14541, 13660, 12832,
    12055, 11324, 10638, 9994,  9388,  8819,  8285,  7783,  7312,  6869,  6452,  6061,  5694,  5349,  5025,  4721,
    4435,  4166,  3914,  3676,  3454,  3244,  3048,  2863,  2690,  2527,  2374,  2230,  2095,  1968,  1849,  1737,
    1631,  1533,  1440,  1352,  1271,  1194,  1121,  1053,  990,   930,   873,   820,   771,   724,   680,   639,
    600,   564,   530,   498,   467,   439,   412,   387,   364,   342,   321,   302,   283,   266,   250,   235,
    221,   207,   195,   183,   172,   162,   152,   143,   134,   126,   118,   111,   104,   98,    92,    86,
    81,    76,    72,    67,    63,    59,    56,    52,    49,    46,    43,    41,    38,    36,    34,    32,
    30,    28,    26,    25,    23,    22,    21,    19,    18,    17,    16,    15,    14,    13,    12,    12,
    11,    10,    10,    9,     9,     8,     8,     7,     7,     6,     6,     6,     5,     5,     5,     4,
    4,     4,     4,     3,     3,     3,     3,     3,     2,     2,     2,     2,     2,     2,     2,     2,
    1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,     1,
    1,     1,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,
    0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,
    0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,
    0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,
    0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,     0,
};

// LN[i] = round(2^16 ln(1 + i/256))
constexpr int32_t kLn[257] = {
    0,     256,   510,   764,   1016,  1268,  1518,  1768,  2017,  2264,  2511,  2757,  3002,  3246,  3489,  3732,
    3973,  4214,  4453,  4692,  4930,  5167,  5403,  5638,  5873,  6106,  6339,  6571,  6802,  7033,  7262,  7491,
    7719,  7946,  8173,  8398,  8623,  8847,  9070,  9293,  9515,  9736,  9956,  10176, 10394, 10612, 10830, 11046,
    11262, 11478, 11692, 11906, 12119, 12332, 12543, 12754, 12965, 13174, 13383, 13592, 13800, 14007, 14213, 14419,
    14624, 14828, 15032, 15235, 15438, 15640, 15841, 16042, 16242, 16442, 16641, 16839, 17037, 17234, 17430, 17626,
    17821, 18016, 18210, 18404, 18597, 18790, 18981, 19173, 19364, 19554, 19743, 19933, 20121, 20309, 20497, 20684,
    20870, 21056, 21241, 21426, 21611, 21795, 21978, 22161, 22343, 22525, 22706, 22887, 23067, 23247, 23426, 23605,
    23783, 23961, 24139, 24315, 24492, 24668, 24843, 25018, 25193, 25367, 25540, 25714, 25886, 26059, 26230, 26402,
    26573, 26743, 26913, 27083, 27252, 27420, 27589, 27756, 27924, 28091, 28257, 28424, 28589, 28754, 28919, 29084,
    29248, 29412, 29575, 29738, 29900, 30062, 30224, 30385, 30546, 30706, 30866, 31026, 31185, 31344, 31502, 31661,
    31818, 31976, 32133, 32289, 32445, 32601, 32757, 32912, 33067, 33221, 33375, 33529, 33682, 33835, 33987, 34140,
    34292, 34443, 34594, 34745, 34896, 35046, 35196, 35345, 35494, 35643, 35791, 35939, 36087, 36235, 36382, 36529,
    36675, 36821, 36967, 37112, 37258, 37402, 37547, 37691, 37835, 37979, 38122, 38265, 38407, 38550, 38692, 38833,
    38975, 39116, 39257, 39397, 39537, 39677, 39817, 39956, 40095, 40234, 40372, 40510, 40648, 40786, 40923, 41060,
    41196, 41333, 41469, 41605, 41740, 41876, 42011, 42145, 42280, 42414, 42548, 42681, 42815, 42948, 43081, 43213,
    43345, 43477, 43609, 43741, 43872, 44003, 44133, 44264, 44394, 44524, 44654, 44783, 44912, 45041, 45170, 45298,
    45426,
};

constexpr int32_t kLn2 = 45426;  // round(2^16 ln 2)
constexpr int32_t kMaxInt16 = 32767;

struct SampleLoss {
  int64_t loss_q16;
  bool correct;
};

inline int32_t LogitIndex(const int32_t *words, uint32_t logit, int32_t exponent) {
  return static_cast<int32_t>(
      Clamp(RoundShift(ReadWord(words, logit), exponent - STROP_LOGIT_FRACTION), -kMaxInt16, kMaxInt16));
}

// One sample: column `n` of the logits. Its error goes to the target if `train`.
inline SampleLoss SoftmaxSample(Lane &lane, int8_t *dram, const int32_t *words, const strop_command &c,
                                int32_t exponent, uint32_t label, uint32_t n, uint32_t dither, bool train) {
  int32_t *index = lane.tiles.wide[0];
  int32_t largest = -kMaxInt16;
  int32_t best = 0;
  uint32_t answer = 0;
Softmax_Largest:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 2 max = 4096
    const uint32_t at = c.source + k * c.source_plane + 4 * n;
    index[k] = LogitIndex(words, at, exponent);
    largest = index[k] > largest ? index[k] : largest;
    const int32_t logit = ReadWord(words, at);
    if (k == 0 || logit > best) {
      best = logit;
      answer = k;
    }
  }
  int64_t sum = 0;
Softmax_Sum:
  for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 2 max = 4096
    const int32_t d = largest - index[k];
    sum += kExp[d > 255 ? 255 : d];
  }
  if (train) {
  Softmax_Error:
    for (uint32_t k = 0; k < c.channels_out; ++k) {
#pragma HLS LOOP_TRIPCOUNT min = 2 max = 4096
      const int32_t d = largest - index[k];
      const int64_t p = ((int64_t{kExp[d > 255 ? 255 : d]} << 15) + (sum >> 1)) / sum;
      const int32_t e15 = static_cast<int32_t>(Clamp(p - (k == label ? 32768 : 0), -kMaxInt16, kMaxInt16));
      const int32_t r = static_cast<int32_t>(Dither(dither, k * c.batch + n) >> 8);
      dram[c.target + k * c.target_plane + n] = static_cast<int8_t>(Clamp((e15 + r) >> 8, -kMaxInt8, kMaxInt8));
    }
  }
  const int32_t b = BitLength(static_cast<uint32_t>(sum)) - 1;
  const uint32_t u = static_cast<uint32_t>((sum << 16) >> b);
  const uint32_t i = (u >> 8) & 255;
  const int32_t t = static_cast<int32_t>(u & 255);
  const int64_t loss =
      int64_t{largest - index[label]} * 4096 + kLn2 * (b - 15) + kLn[i] + (((kLn[i + 1] - kLn[i]) * t) >> 8);
  return {loss, answer == label};
}

// A label outside [0, K) stops the command before it writes anything; `detail` then names the sample.
inline uint32_t SoftmaxCrossEntropy(Machine &machine, int8_t *dram, int32_t *words, const strop_command &c,
                                    uint32_t slot, uint32_t &detail) {
  Lane &lane = STROP_LANE(machine, 0);
  const bool train = (c.flags & STROP_FLAG_FIXED) == 0;
  const uint32_t labels = slot + c.labels;
Softmax_Label:
  for (uint32_t n = 0; n < c.batch; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    if (static_cast<uint32_t>(ReadWord(words, labels + 4 * n)) >= c.channels_out) {
      detail = n;
      return STROP_STATUS_LABEL_RANGE;
    }
  }
  const uint32_t dither = train ? NextDither(words, c.dither) : 0;
  const int32_t exponent = ReadWord(words, c.source_exponent);
  int64_t loss = 0;
  int32_t correct = 0;
Softmax_Sample:
  for (uint32_t n = 0; n < c.batch; ++n) {
#pragma HLS LOOP_TRIPCOUNT min = 1 max = 4096
    const uint32_t label = static_cast<uint32_t>(ReadWord(words, labels + 4 * n));
    const SampleLoss sample = SoftmaxSample(lane, dram, words, c, exponent, label, n, dither, train);
    loss += sample.loss_q16;
    correct += sample.correct ? 1 : 0;
  }
  const uint32_t loss_at = STROP_FIELD_AT(slot, strop_slot, loss_sum);
  WriteWord(words, STROP_FIELD_AT(slot, strop_slot, correct), correct);
  WriteWord(words, STROP_FIELD_AT(slot, strop_slot, samples), static_cast<int32_t>(c.batch));
  WriteWord(words, loss_at, static_cast<int32_t>(loss & 0xFFFFFFFF));
  WriteWord(words, loss_at + 4, static_cast<int32_t>(loss >> 32));
  if (train) WriteWord(words, c.target_exponent, STROP_ERROR_EXPONENT);
  return STROP_STATUS_OK;
}

}  // namespace strop

#endif  // STROP_SOFTMAX_HPP
