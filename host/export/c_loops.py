"""The loops of an exported C header: what each operation does on one image, in C99, with no library but <stdint.h>.

NAME is the network's. Right shifts of negative numbers, which C leaves to the compiler, are avoided by `floor_shift`.
"""

from __future__ import annotations

HELPERS = """\
static inline int32_t NAME_floor_shift(int32_t x, int s) { return x >= 0 ? x >> s : ~(~x >> s); }

/* x * 2^-s, rounded half up. acc below stays under 2^31 - 2^23, so adding the half cannot overflow. */
static inline int32_t NAME_rsh(int32_t x, int s) {
  if (s <= 0) return x * ((int32_t)1 << -s);
  return NAME_floor_shift(x + ((int32_t)1 << (s - 1)), s);
}

static inline int32_t NAME_clamp(int32_t x, int32_t low, int32_t high) { return x < low ? low : x > high ? high : x; }
"""

INPUT = """\
/* image uint8 [C][H][W] to int8 with exponent EXPONENT: max(pixel - 128, -127), in a border of black (-127). */
static inline void NAME_input(const uint8_t *image, int c_count, int h_count, int w_count, int border, int8_t *out) {
  const int p_count = h_count + 2 * border, q_count = w_count + 2 * border;
  for (int c = 0; c < c_count; c++)
    for (int p = 0; p < p_count; p++)
      for (int q = 0; q < q_count; q++) {
        const int h = p - border, w = q - border;
        const int inside = h >= 0 && h < h_count && w >= 0 && w < w_count;
        const int32_t pixel = inside ? image[(c * h_count + h) * w_count + w] : 0;
        out[(c * p_count + p) * q_count + q] = (int8_t)NAME_clamp(pixel - 128, -127, 127);
      }
}
"""

DOT = """\
/* A convolution reads in [C][H][W] and weights [K][C/groups][R][S], and makes out [K][P][Q]; padding counts as 0. */
typedef struct {
  int c, h, w, k, p, q, r, s, stride_h, stride_w, pad_h, pad_w, groups;
} NAME_shape;

/* acc[k][p][q] = sum over c, r, s of weights[k][c][r][s] * in[first + c][p*stride_h + r - pad_h][q*stride_w + s -
 * pad_w], first the first channel of k's group */
static inline int32_t NAME_dot(const int8_t *in, const int8_t *weights, const NAME_shape *at, int k, int p,
                               int q) {
  const int c_count = at->c / at->groups, first = k / (at->k / at->groups) * c_count;
  int32_t acc = 0;
  for (int c = 0; c < c_count; c++)
    for (int r = 0; r < at->r; r++) {
      const int h = p * at->stride_h + r - at->pad_h;
      if (h < 0 || h >= at->h) continue;
      for (int s = 0; s < at->s; s++) {
        const int w = q * at->stride_w + s - at->pad_w;
        if (w < 0 || w >= at->w) continue;
        acc += (int32_t)weights[((k * c_count + c) * at->r + r) * at->s + s] *
               in[((first + c) * at->h + h) * at->w + w];
      }
    }
  return acc;
}
"""

CONVOLUTION = """\
/* A convolution or fully-connected layer: out = clamp(rsh(acc, shift), -127, 127), channel k with the exponent
 * input exponent + weight_exponents[k] - shift. */
static inline void NAME_convolution(const int8_t *in, const int8_t *weights, const NAME_shape *at, int shift,
                                    int8_t *out) {
  for (int k = 0; k < at->k; k++)
    for (int p = 0; p < at->p; p++)
      for (int q = 0; q < at->q; q++) {
        const int32_t acc = NAME_dot(in, weights, at, k, p, q);
        out[(k * at->p + p) * at->q + q] = (int8_t)NAME_clamp(NAME_rsh(acc, shift), -127, 127);
      }
}
"""

TRANSPOSED = """\
/* A transposed convolution, from in [K][P][Q] to out [C][H][W], weights [K][C/groups][R][S]: acc[c][h][w] = sum of
 * weights[k][c][r][s] * in[k][p][q] over all k, r, s with h = p*stride_h + r - pad_h, w = q*stride_w + s - pad_w; then
 * as a convolution, every channel with the one exponent of all weights. */
static inline void NAME_transposed(const int8_t *in, const int8_t *weights, const NAME_shape *at, int shift,
                                   int8_t *out) {
  const int c_count = at->c / at->groups, k_count = at->k / at->groups;
  for (int c = 0; c < at->c; c++)
    for (int h = 0; h < at->h; h++)
      for (int w = 0; w < at->w; w++) {
        int32_t acc = 0;
        for (int k = c / c_count * k_count; k < (c / c_count + 1) * k_count; k++)
          for (int r = 0; r < at->r; r++)
            for (int s = 0; s < at->s; s++) {
              const int down = h + at->pad_h - r, across = w + at->pad_w - s;
              if (down < 0 || across < 0 || down % at->stride_h || across % at->stride_w) continue;
              const int p = down / at->stride_h, q = across / at->stride_w;
              if (p >= at->p || q >= at->q) continue;
              acc += (int32_t)weights[((k * c_count + c % c_count) * at->r + r) * at->s + s] *
                     in[(k * at->p + p) * at->q + q];
            }
        out[(c * at->h + h) * at->w + w] = (int8_t)NAME_clamp(NAME_rsh(acc, shift), -127, 127);
      }
}
"""

NORMALIZE = """\
/* L1 batch normalization by running statistics, or a bias, with its activation, on c_count channels of `count` values:
 * out = clamp((in * multipliers[c] + constants[c]) >> 12, low, 127); low = 0 is ReLU, -127 none. out may be in. */
static inline void NAME_normalize(const int8_t *in, const int32_t *multipliers, const int32_t *constants, int c_count,
                                  int32_t count, int32_t low, int8_t *out) {
  for (int c = 0; c < c_count; c++)
    for (int32_t i = 0; i < count; i++) {
      const int32_t y = NAME_floor_shift(in[c * count + i] * multipliers[c] + constants[c], 12);
      out[c * count + i] = (int8_t)NAME_clamp(y, low, 127);
    }
}
"""

TABLE = """\
/* An activation by table: out = table[in + 128]. out may be in. */
static inline void NAME_activate(const int8_t *in, const int8_t *table, int32_t count, int8_t *out) {
  for (int32_t i = 0; i < count; i++) out[i] = table[in[i] + 128];
}
"""

COPY = """\
/* A part of a joint map. */
static inline void NAME_copy(const int8_t *in, int32_t count, int8_t *out) {
  for (int32_t i = 0; i < count; i++) out[i] = in[i];
}
"""

UPSAMPLE = """\
/* Upsampling by the nearest: each value stride_h * stride_w times, from [C][H][W] to [C][P][Q]. Exponent unchanged. */
static inline void NAME_upsample(const int8_t *in, const NAME_shape *at, int8_t *out) {
  for (int c = 0; c < at->c; c++)
    for (int p = 0; p < at->p; p++)
      for (int q = 0; q < at->q; q++)
        out[(c * at->p + p) * at->q + q] = in[(c * at->h + p / at->stride_h) * at->w + q / at->stride_w];
}
"""

LOGITS = """\
/* The last layer: logits[k] = acc + biases[k], saturated; its real value is logits[k] * 2^-LOGITS_EXPONENT. */
static inline void NAME_last(const int8_t *in, const int8_t *weights, const int64_t *biases,
                             const NAME_shape *at, int32_t *logits) {
  for (int k = 0; k < at->k; k++) {
    const int64_t sum = NAME_dot(in, weights, at, k, 0, 0) + biases[k];
    logits[k] = sum > INT32_MAX ? INT32_MAX : sum < -INT32_MAX ? -INT32_MAX : (int32_t)sum;
  }
}
"""

MAX_POOL = """\
/* The largest value of each window; positions outside the map do not take part. Exponent unchanged. */
static inline void NAME_max_pool(const int8_t *in, const NAME_shape *at, int8_t *out) {
  for (int c = 0; c < at->c; c++)
    for (int p = 0; p < at->p; p++)
      for (int q = 0; q < at->q; q++) {
        int8_t largest = -127;
        for (int r = 0; r < at->r; r++)
          for (int s = 0; s < at->s; s++) {
            const int h = p * at->stride_h + r - at->pad_h, w = q * at->stride_w + s - at->pad_w;
            if (h < 0 || h >= at->h || w < 0 || w >= at->w) continue;
            const int8_t value = in[(c * at->h + h) * at->w + w];
            if (value > largest) largest = value;
          }
        out[(c * at->p + p) * at->q + q] = largest;
      }
}
"""

MEAN = """\
/* floor((2 * sum + count) / (2 * count)): the mean, rounded half up. */
static inline int8_t NAME_mean(int64_t sum, int32_t count) {
  const int64_t a = 2 * sum + count, b = 2 * (int64_t)count;
  return (int8_t)NAME_clamp((int32_t)(a / b) - (a % b < 0 ? 1 : 0), -127, 127);
}
"""

GLOBAL_POOL = """\
/* The mean of each channel's map of `count` positions, times 2^gain: the exponent grows by gain. */
static inline void NAME_global_pool(const int8_t *in, int c_count, int32_t count, int gain, int8_t *out) {
  for (int c = 0; c < c_count; c++) {
    int64_t sum = 0;
    for (int32_t i = 0; i < count; i++) sum += in[c * count + i];
    out[c] = NAME_mean(sum * ((int64_t)1 << gain), count);
  }
}
"""

AVERAGE_POOL = """\
/* The mean of each window; positions outside the map count as 0. Exponent unchanged. */
static inline void NAME_average_pool(const int8_t *in, const NAME_shape *at, int8_t *out) {
  for (int c = 0; c < at->c; c++)
    for (int p = 0; p < at->p; p++)
      for (int q = 0; q < at->q; q++) {
        int64_t sum = 0;
        for (int r = 0; r < at->r; r++)
          for (int s = 0; s < at->s; s++) {
            const int h = p * at->stride_h + r - at->pad_h, w = q * at->stride_w + s - at->pad_w;
            if (h >= 0 && h < at->h && w >= 0 && w < at->w) sum += in[(c * at->h + h) * at->w + w];
          }
        out[(c * at->p + p) * at->q + q] = NAME_mean(sum, at->r * at->s);
      }
}
"""

ADD = """\
/* A residual sum: clamp(rsh(a, shift_a) + rsh(b, shift_b), low, 127); shifts to the grid of the sum. */
static inline void NAME_add(const int8_t *a, int shift_a, const int8_t *b, int shift_b, int32_t count, int32_t low,
                            int8_t *out) {
  for (int32_t i = 0; i < count; i++)
    out[i] = (int8_t)NAME_clamp(NAME_rsh(a[i], shift_a) + NAME_rsh(b[i], shift_b), low, 127);
}
"""
