/* The contract between the training kernel and the software that drives it.
 *
 * Written once, read by three tools: the C++ of this folder includes it, Vitis HLS synthesizes it, and Python parses this
 * very file through cffi. So it is plain C99 and nothing else: `#define NAME integer`, and structs of fixed-width integers
 * with natural alignment and no padding. The arithmetic behind each operation is specified in NUMERICS.md.
 *
 * Letters for shapes, fixed here: N batch, C channels in, K channels out, H W height and width in, P Q height and width
 * out, R S filter height and width. m = N*H*W of the tensor spoken of.
 *
 * Memory. Every tensor lies in one arena; a command names it by its byte offset, never by an address, so the same program
 * runs on every device. Offsets are multiples of STROP_ALIGN_BYTES; those of words of channels, where they are the words of
 * a part of a joint map, are multiples of 16, a quad's.
 *   feature map   int8, in words of 64 bytes. A word holds one position of 4 channels (a quad) in 16 images (an image
 *                 group): byte 4 * (n % 16) + c % 4. Words lie as [ceil(C/4)][ceil(N/16)][H][W]; consecutive quads are
 *                 `plane` bytes apart, at least ceil(N/16)*H*W words. Bytes of channels beyond C and of images beyond N
 *                 are 0 in every map, and every command leaves them so.
 *   pixel map     the input of a convolution with STROP_FLAG_PIXELS (few channels): words as [C][ceil(N/16)][H][W],
 *                 byte 4 * (n % 16) + j of the word at (y, x) is the pixel at (y, x + j).
 *   logits        int32, [K][N], rows `plane` bytes apart.
 *   weights       masters, momenta and gradients: int32 [K][C/groups][R][S] without gaps.
 *   weight view   int8 [K][D][R][S][4], what the MAC array reads: D quads of input channels, zeros where a quad holds a
 *                 channel that output channel k does not read. Groups are merged until their channels fill whole quads:
 *                 M = 1 for one group, else the smallest M with 4 | M*C/groups and 4 | M*K/groups, at most `groups`; D =
 *                 ceil(M*C/groups / 4); k reads quads from floor(k*groups/K / M) * M*C/groups / 4 on.
 *                 With STROP_FLAG_PIXELS: int8 [K][C][R][ceil(S/4)][4], taps beyond S zero.
 *   table         int32 [256], an activation: word x + 128 holds f(x) in bits 0 to 7 and its slope, Q8, in bits 16 to 31.
 *   per-channel   int32 [K]: gamma, beta, bias, their momenta and gradients, running mu and sigma, exponents.
 * An int8 tensor stands for real numbers q * 2^-exponent; exponents are int32 words in the arena beside the tensors: one
 * word for a feature map after L1BN or for an input gradient, one word a channel where a field says `[K]`.
 */
#ifndef STROP_CONTRACT_H
#define STROP_CONTRACT_H

#include <stdint.h>

/* ---- versions ---------------------------------------------------------------------------------------------------- */
#define STROP_CONTRACT_VERSION 5 /* layout: commands, registers, slots; the hardware reports it, the host checks it */
#define STROP_NUMERICS_VERSION 2 /* arithmetic: equal versions train to equal bytes; stored in every checkpoint */

/* ---- limits ------------------------------------------------------------------------------------------------------ */
#define STROP_ALIGN_BYTES 64
#define STROP_QUAD 4               /* channels in a word of a feature map */
#define STROP_IMAGE_GROUP 16       /* images in a word of a feature map */
#define STROP_WORD_BYTES 64        /* STROP_QUAD * STROP_IMAGE_GROUP */
#define STROP_MAX_PIXEL_CHANNELS 2 /* a convolution may read a pixel map of so many channels */
#define STROP_MAX_BATCH 4096
#define STROP_MAX_CHANNELS 65536
#define STROP_MAX_SIDE 1024       /* H, W, P, Q */
#define STROP_MAX_KERNEL 15       /* R, S; R*S <= 225 */
#define STROP_MAX_STRIDE 4        /* padding is smaller than the kernel */
#define STROP_MAX_POOL_PLANE 4096 /* H*W that global average pooling takes */
#define STROP_MAX_CLASSES 4096
#define STROP_MAX_REDUCTION \
  132104 /* m, C/groups*R*S, K/groups*R*S: the longest sum that provably fits int32 (NUMERICS.md 1.9) */
#define STROP_MAX_COMMANDS 4096
#define STROP_MAX_EXPONENT 8  /* of an output of L1BN, ADD or ACTIVATION, and of INPUT */
#define STROP_MAX_POOL_GAIN 4 /* of global average pooling */
#define STROP_MAX_STEPS 65536 /* mini-batches in one start */

/* ---- constants of the arithmetic (NUMERICS.md) -------------------------------------------------------------------- */
#define STROP_INPUT_EXPONENT 7      /* of images: a0 = max(pixel - 128, -127) stands for a0 / 128 */
#define STROP_WEIGHT_FRACTION 24    /* masters and momenta of weights: LSB 2^-24 */
#define STROP_PARAMETER_FRACTION 20 /* gamma, beta, bias and their momenta: LSB 2^-20 */
#define STROP_RUNNING_FRACTION 16   /* running mu and sigma: LSB 2^-16 */
#define STROP_STATISTIC_FRACTION 6  /* F: mu and sigma of a mini-batch, fraction bits beyond the int8 grid */
#define STROP_SCALE_FRACTION 12     /* S: fraction bits of the multiplier M */
#define STROP_RUNNING_SHIFT 4       /* running average: alpha = 1 - 2^-4 */
#define STROP_ERROR_EXPONENT 7      /* logit error */
#define STROP_LOGIT_FRACTION 4      /* softmax index: z in units of 1/16 */
#define STROP_LOSS_FRACTION 16      /* reported loss: LSB 2^-16 nat */
#define STROP_TARGET_FRACTION 15    /* soft targets: LSB 2^-15; those of a sample sum to 1 */
#define STROP_TABLE_WORDS 256       /* of an activation table */
#define STROP_SLOPE_FRACTION 8      /* of its slopes */
#define STROP_MAX_SHIFT 24          /* of a requantization: takes any int32 to int8; and of ADD_GRADIENT */
#define STROP_DITHER_STEP 0x9E37
#define STROP_DITHER_MULTIPLIER 1664525
#define STROP_DITHER_INCREMENT 1013904223
#define STROP_PRE_NORM_RATE_LOG2 11 /* saturation control: tolerated rate 2^-11 before L1BN, 2^-13 for errors */
#define STROP_ERROR_RATE_LOG2 13

/* ---- registers (AXI4-Lite byte offsets; HLS block-level control sits below 0x10) ----------------------------------- */
#define STROP_REG_CONTROL 0x00
#define STROP_REG_GLOBAL_INTERRUPT 0x04 /* bit 0 */
#define STROP_REG_INTERRUPT_ENABLE 0x08 /* bit 0: when a start is done */
#define STROP_REG_INTERRUPT_STATUS 0x0C /* bit 0; a bit written as 1 is toggled */
#define STROP_REG_ARENA_BYTES 0x10      /* 64-bit physical address of the arena, as the int8 port sees it */
#define STROP_REG_ARENA_WORDS 0x1C      /* the same address, as the int32 port sees it */
#define STROP_REG_ARENA_MAPS 0x28       /* the same address, for the port that loads feature maps for the MAC array */
#define STROP_REG_ARENA_FILTERS 0x34    /* the same address, for the port that loads its weights */
#define STROP_REG_PROGRAM_AT 0x40       /* arena offset of the first command */
#define STROP_REG_COMMANDS 0x48         /* number of commands in a step */
#define STROP_REG_STEPS 0x50            /* mini-batches to run in this start */
#define STROP_REG_SLOTS 0x58            /* arena offset of slot 0 */
#define STROP_REG_SLOT_STRIDE 0x60      /* bytes from one slot to the next */
#define STROP_REG_SLOT_COUNT 0x68
#define STROP_REG_FIRST_SLOT 0x70 /* step i uses slot (FIRST_SLOT + i) mod SLOT_COUNT */
#define STROP_REG_REPORT_AT 0x78  /* arena offset of a strop_report */
#define STROP_REG_VERSION 0x80 /* read after a start, STEPS = 0 suffices: contract version << 16 | numerics version */

/* Bits of CONTROL, as Vitis HLS makes them (UG1399, "S_AXILITE Control Register Map"). */
#define STROP_CONTROL_START 0x01 /* write; reads as 1 until the start is taken */
#define STROP_CONTROL_DONE 0x02  /* cleared by reading */
#define STROP_CONTROL_IDLE 0x04
#define STROP_CONTROL_READY 0x08 /* cleared by reading */

/* ---- status words ------------------------------------------------------------------------------------------------ */
#define STROP_STATUS_OK 0
#define STROP_STATUS_UNKNOWN_OPCODE 1
#define STROP_STATUS_SITE_UNSET 2    /* a fixed shift was asked for where training never chose one */
#define STROP_STATUS_LABEL_RANGE 3   /* a label outside [0, K) */
#define STROP_STATUS_BAD_COMMAND 4   /* a field beyond its limit */
#define STROP_STATUS_BAD_REGISTERS 5 /* counts beyond their limits */
#define STROP_STATUS_RUNNING 6       /* while a start runs; step, command and layer are those under way */

/* ---- opcodes ----------------------------------------------------------------------------------------------------- */
/* One command does one operation on a whole mini-batch. Under each: what it reads and writes. `site` is a strop_site.
 * "Exponent unchanged": target_exponent = source_exponent, one word, written all the same.                             */

#define STROP_OP_NONE 0 /* never valid: a zeroed command is refused */

/* INPUT: target[c][n][h+pad_top][w+pad_left] = max(source[n][c][h][w] - 128, -127), elsewhere -127 (black).
 *   source uint8 [N][C][H][W] without gaps; target int8 [C][N][P][Q]; target_exponent = `exponent`: STROP_INPUT_EXPONENT
 *   for images; a feature map of another network comes as bytes value + 128, with its own exponent.
 *   With STROP_FLAG_PIXELS target is a pixel map of P x (Q + columns): `columns` columns of the convolution's own padding, 0,
 *   stand in front, and pixels right of the map are 0. */
#define STROP_OP_INPUT 1

/* CONV_FORWARD: acc[k][n][p][q] = sum over c, r, s of weights[k][c][r][s] * source[c][n][p*stride_h + r - pad_top]
 *   [q*stride_w + s - pad_left], zero outside the map (NUMERICS 1.3 step 1).
 *   without STROP_FLAG_LOGITS: target int8 [K][N][P][Q] = sat(rsh(acc, shift of site)), target_exponent[K] = source
 *     exponent + weight_exponent[k] - shift; the site's control is advanced unless STROP_FLAG_FIXED.
 *   with STROP_FLAG_LOGITS: target int32 [K][N] (P = Q = 1) = acc + rsh(bias[k], 20 - e), e = source exponent +
 *     weight_exponent[0]; target_exponent (one word) = e. `beta` names the bias.
 *   with STROP_FLAG_PIXELS: source is the pixel map that INPUT made, width_in its width Q + columns, pad_left 0; groups 1.
 *   with STROP_FLAG_TRANSPOSED: the input gradient of a transposed convolution (NUMERICS 1.14). source_exponent as there;
 *     target int8 = sat(dsh(acc, shift of site)), dithered in the order of [K][N][P][Q]; target_exponent (one word). */
#define STROP_OP_CONV_FORWARD 2

/* CONV_INPUT_GRADIENT: acc[c][n][h][w] = sum over k, r, s of weights[k][c][r][s] * source[k][n][p][q] where
 *   h = p*stride_h + r - pad_top and w = q*stride_w + s - pad_left (NUMERICS 1.7 step 6).
 *   source int8 [K][N][P][Q], source_exponent[K]; target int8 [C][N][H][W] = sat(dsh(acc, shift of site));
 *   target_exponent (one word) = source_exponent[0] + weight_exponent[0] - shift. Dithered: the index of an element is that
 *   in [C][N][H][W], with STROP_FLAG_FLAT that in [C*H*W][N]. Not with STROP_FLAG_PIXELS.
 *   With STROP_FLAG_TRANSPOSED: the forward pass of a transposed convolution (NUMERICS 1.14), from K channels to C. source has
 *   one exponent word; target int8 = sat(rsh(acc, shift of site)); target_exponent[C] = source exponent + weight_exponent[0] -
 *   shift. Site and STROP_FLAG_FIXED as in CONV_FORWARD. */
#define STROP_OP_CONV_INPUT_GRADIENT 3

/* CONV_WEIGHT_GRADIENT: target int32 [K][C/groups][R][S] = sum over n, p, q of source[k][n][p][q] *
 *   source_2[c][n][p*stride_h + r - pad_top][q*stride_w + s - pad_left]; target_exponent[K] = source_exponent[k] +
 *   source_2_exponent. With STROP_FLAG_BIAS (a layer without L1BN) also grad_beta[K] = sum over n, p, q of
 *   source[k][n][p][q], and source_exponent is one word. With STROP_FLAG_PIXELS source_2 is a pixel map. With
 *   STROP_FLAG_TRANSPOSED source is the transposed convolution's input, of one exponent word, and source_2 the gradient. */
#define STROP_OP_CONV_WEIGHT_GRADIENT 4

/* L1BN_FORWARD: NUMERICS 1.3 steps 3 to 8 (Wu et al., Eq. 9 to 11, Algorithm 1).
 *   source int8 [K][N][P][Q] with source_exponent[K]; target int8, same shape; target_exponent = `exponent`.
 *   Writes statistics[K] (strop_channel_statistics). Advances running_mu, running_sigma and the word running_steps.
 *   With STROP_FLAG_FIXED the running statistics take the place of the mini-batch's and stay as they are.
 *   With STROP_FLAG_RUNNING they take its place and advance with it, by NUMERICS 1.12: a mini-batch of one sample will do. */
#define STROP_OP_L1BN_FORWARD 5

/* L1BN_BACKWARD: NUMERICS 1.7 steps 1 to 4 (Eq. 17 to 20).
 *   source int8 [K][N][P][Q]: gradient of the activation, one exponent word; source_2: L1BN's input, source_2_exponent[K];
 *   source_3: L1BN's output (the activation's mask); target int8: gradient of the input, target_exponent[K], by `site`,
 *   dithered; grad_gamma[K], grad_beta[K] with the exponent of `source`. With STROP_FLAG_FIXED mu and sigma are
 *   constants: the mean terms are absent and grad_gamma, grad_beta are not written. With STROP_FLAG_RUNNING the mean
 *   terms are absent, and grad_gamma, grad_beta are written. */
#define STROP_OP_L1BN_BACKWARD 6

/* MAX_POOL_FORWARD: target[c][n][p][q] = max of the window; positions outside the map do not take part. Exponent unchanged. */
#define STROP_OP_MAX_POOL_FORWARD 7

/* MAX_POOL_BACKWARD: each source[c][n][p][q] goes to the first maximum of its window of source_2 [C][N][H][W], in raster
 *   order; target [C][N][H][W] = sat(sum of what arrives); target_exponent = source_exponent. */
#define STROP_OP_MAX_POOL_BACKWARD 8

/* GLOBAL_AVERAGE_POOL_FORWARD: target [C][N][1][1] = sat(rdiv(sum of the map * 2^g, H*W)), g = `exponent`, 0 to
 *   STROP_MAX_POOL_GAIN; target_exponent = source_exponent + g. */
#define STROP_OP_GLOBAL_AVERAGE_POOL_FORWARD 9

/* GLOBAL_AVERAGE_POOL_BACKWARD: source [C][N][1][1], target [C][N][H][W], NUMERICS 1.10. Dithered. */
#define STROP_OP_GLOBAL_AVERAGE_POOL_BACKWARD 10

/* FLATTEN: source [C][N][H][W] to target [C*H*W][N][1][1]; UNFLATTEN: back. Exponent unchanged. C, H, W are those of the
 *   map. A Linear layer on a map of up to STROP_MAX_KERNEL a side needs neither: it is a convolution as large as the map. */
#define STROP_OP_FLATTEN 11
#define STROP_OP_UNFLATTEN 12

/* SOFTMAX_CROSS_ENTROPY: source int32 logits [K][N]; labels int32 [N] at `labels` of the slot; writes the slot's loss and
 *   correct count. Unless STROP_FLAG_FIXED: target int8 [K][N] = logit error (NUMERICS 1.6), target_exponent = 7, dithered.
 *   With STROP_FLAG_SOFT, in training only, error and loss are by targets int32 [K][N] (STROP_TARGET_FRACTION, those of a
 *   sample sum to 1) at `source_2` of the slot, rows source_2_plane bytes apart; correct answers are by labels all the same. */
#define STROP_OP_SOFTMAX_CROSS_ENTROPY 13

/* SGD: NUMERICS 1.8 on rows * columns values: master, momentum int32, gradient int32 with gradient_exponent; learning rate
 *   from the slot. STROP_FLAG_EXPONENT_PER_ROW: gradient_exponent has a word a row. With STROP_FLAG_VIEW the int8 view
 *   is made afterwards, as by WEIGHT_VIEW. */
#define STROP_OP_SGD 14

/* WEIGHT_VIEW: weight view and weight_exponent[rows] from master; STROP_FLAG_VIEW_PER_ROW chooses the exponent for each
 *   row (output channel), else one exponent serves all rows and is written to each. Masters have STROP_WEIGHT_FRACTION
 *   bits. The view's layout follows from channels_in, channels_out = rows, groups, kernel_h, kernel_w and
 *   STROP_FLAG_PIXELS; columns = channels_in / groups * kernel_h * kernel_w. */
#define STROP_OP_WEIGHT_VIEW 15

/* ADD_FORWARD (residual): NUMERICS 1.11. target[c][n][h][w] = clamp(rsh(a, ea - ey) + rsh(b, eb - ey)) with a = source, b =
 *   source_2, one exponent word each, ey = `exponent`, clamp by `activation`; shapes are K, P, Q; target_exponent = ey. */
#define STROP_OP_ADD_FORWARD 16

/* ADD_BACKWARD: target = source where the activation of ADD_FORWARD passes a gradient, else 0: source is the gradient of its
 *   output, source_2 its output. Exponent unchanged. Both summands have this gradient. */
#define STROP_OP_ADD_BACKWARD 17

/* ACTIVATION_FORWARD: target[c][n][h][w] = f(source[c][n][h][w]) by `table`; shapes are K, P, Q; target_exponent = `exponent`. */
#define STROP_OP_ACTIVATION_FORWARD 18

/* ACTIVATION_BACKWARD: NUMERICS 1.15. source: gradient of the output; source_2: the input; target = sat(dsh(source * slope, 8)), the
 *   slope by `table` at source_2. Exponent unchanged. Dithered. */
#define STROP_OP_ACTIVATION_BACKWARD 19

/* AVERAGE_POOL_FORWARD: target[c][n][p][q] = rdiv(sum of the window's positions inside the map, R*S). Exponent unchanged, with
 *   STROP_FLAG_EXPONENT_PER_ROW those of all C channels. */
#define STROP_OP_AVERAGE_POOL_FORWARD 20

/* AVERAGE_POOL_BACKWARD: source [C][N][P][Q], target [C][N][H][W], NUMERICS 1.16. Dithered. STROP_FLAG_EXPONENT_PER_ROW as above. */
#define STROP_OP_AVERAGE_POOL_BACKWARD 21

/* UPSAMPLE_FORWARD (nearest): target[c][n][p][q] = source[c][n][p / stride_h][q / stride_w], P = H*stride_h, Q = W*stride_w.
 *   Exponent unchanged. */
#define STROP_OP_UPSAMPLE_FORWARD 22

/* Concatenation needs no command: channels are planes, so producers write their planes, whole quads of them, at
 * offsets of the joint map. Depthwise and grouped convolution need no opcode: groups > 1. */

/* ADD_GRADIENT: where a map was read twice its two gradients meet (NUMERICS 1.11): target = sat(coarse + dsh(fine, d)), coarse
 *   and fine the one of source and source_2 with the smaller and the larger exponent (source is coarse where they are equal),
 *   d = min(their difference, STROP_MAX_SHIFT); target_exponent = the smaller. Shapes are K, P, Q. Dithered: it draws also when d = 0.
 *   With STROP_FLAG_EXPONENT_PER_ROW there is a word a channel for each of the three; the difference is the same for all
 *   channels, so channel 0 says which is coarse, and d. */
#define STROP_OP_ADD_GRADIENT 23

/* ELASTIC_PULL: NUMERICS 1.13 on `columns` values (rows is 1: no value minds the parameter's shape): master is pulled
 *   towards `anchor`, int32 as it, by `importance`, uint8: 0 for not at all, 1 to 31 for 2^-importance of the distance. */
#define STROP_OP_ELASTIC_PULL 24

/* UPSAMPLE_BACKWARD: source [C][N][P][Q], target [C][N][H][W], NUMERICS 1.16. Dithered. */
#define STROP_OP_UPSAMPLE_BACKWARD 25

/* SIGMOID_CROSS_ENTROPY: NUMERICS 1.17, binary cross-entropy of each of K logits. source, target, dither and the slot as in
 *   SOFTMAX_CROSS_ENTROPY with STROP_FLAG_SOFT, but that a target is 0 to 32768 by itself and no labels are read. K may be 1.
 *   With STROP_FLAG_FIXED (inference) no gradient is written; targets are read from `source_2` of the slot all the same. */
#define STROP_OP_SIGMOID_CROSS_ENTROPY 26

/* SQUARED_ERROR: NUMERICS 1.17, half the squared distance from targets int32 (STROP_TARGET_FRACTION, -32768 to 32768). All else as
 *   in SIGMOID_CROSS_ENTROPY. */
#define STROP_OP_SQUARED_ERROR 27
#define STROP_OP_COUNT 28

/* ---- flags ------------------------------------------------------------------------------------------------------- */
#define STROP_FLAG_SOURCE_IN_SLOT 0x001 /* `source` and `source_exponent` count from the step's slot */
#define STROP_FLAG_TARGET_IN_SLOT 0x002 /* `target` and `target_exponent` count from the step's slot */
#define STROP_FLAG_FIXED 0x004          /* use what training left (shift, statistics), as the opcode says */
#define STROP_FLAG_LOGITS 0x008
#define STROP_FLAG_BIAS 0x010
#define STROP_FLAG_EXPONENT_PER_ROW 0x020
#define STROP_FLAG_VIEW 0x040
#define STROP_FLAG_VIEW_PER_ROW 0x080
#define STROP_FLAG_TRANSPOSED 0x100 /* a convolution serves a transposed one; not with _PIXELS, _LOGITS, _BIAS, _FLAT */
#define STROP_FLAG_PIXELS 0x200     /* the convolution's input is a pixel map */
#define STROP_FLAG_FLAT 0x400       /* a Linear layer on a map: its gradient is dithered as one of features */
#define STROP_FLAG_RUNNING 0x800    /* L1BN in a stream, as its opcodes say; never together with STROP_FLAG_FIXED */
#define STROP_FLAG_SOFT 0x1000      /* the loss is by soft targets; never together with STROP_FLAG_FIXED */

/* ---- activations fused into L1BN ---------------------------------------------------------------------------------- */
#define STROP_ACTIVATION_NONE 0 /* clamp to [-127, 127]; the gradient passes where abs(y) < 127 */
#define STROP_ACTIVATION_RELU 1 /* clamp to [0, 127]; the gradient passes where 0 < y < 127 */

/* ---- the command: 64 words, 256 bytes ----------------------------------------------------------------------------- */
typedef struct strop_command {
  uint32_t opcode;
  uint32_t flags;
  uint32_t layer; /* index that errors are reported with */
  uint32_t activation;
  /* shapes */
  uint32_t batch;        /* N */
  uint32_t channels_in;  /* C */
  uint32_t height_in;    /* H */
  uint32_t width_in;     /* W */
  uint32_t channels_out; /* K */
  uint32_t height_out;   /* P */
  uint32_t width_out;    /* Q */
  uint32_t kernel_h;     /* R */
  uint32_t kernel_w;     /* S */
  uint32_t stride_h;
  uint32_t stride_w;
  uint32_t pad_top;
  uint32_t pad_left; /* bottom and right follow from P and Q */
  uint32_t groups;
  uint32_t dilation_h; /* reserved, 1 */
  uint32_t dilation_w; /* reserved, 1 */
  /* feature maps: arena offsets and plane strides in bytes */
  uint32_t source;
  uint32_t source_plane;
  uint32_t source_2;
  uint32_t source_2_plane;
  uint32_t source_3;
  uint32_t source_3_plane;
  uint32_t target;
  uint32_t target_plane;
  /* exponent words */
  uint32_t source_exponent;
  uint32_t source_2_exponent;
  uint32_t target_exponent;
  uint32_t weight_exponent;
  /* state that moves from step to step */
  uint32_t site;   /* strop_site */
  uint32_t dither; /* uint32 counter, NUMERICS 1.5 */
  /* parameters */
  uint32_t weights; /* int8 view */
  uint32_t gamma;
  uint32_t beta; /* or the bias of a layer without L1BN */
  uint32_t running_mu;
  uint32_t running_sigma;
  uint32_t running_steps; /* uint32: training steps seen, saturating */
  uint32_t statistics;    /* strop_channel_statistics [K] */
  uint32_t grad_gamma;
  uint32_t grad_beta;
  int32_t exponent; /* ey of L1BN, ADD and ACTIVATION (NUMERICS); of INPUT; gain of global average pooling */
  uint32_t table;   /* of an activation */
  /* loss; offsets count from the slot */
  uint32_t labels;
  /* SGD, WEIGHT_VIEW, ELASTIC_PULL */
  uint32_t rows;
  uint32_t columns;
  uint32_t master;
  uint32_t momentum;
  uint32_t gradient;
  uint32_t gradient_exponent;
  int32_t fraction_bits;         /* of master and momentum */
  int32_t momentum_decay;        /* (1 - momentum) * 256 */
  int32_t weight_decay_mantissa; /* weight decay = mantissa * 2^-shift; mantissa 0: none */
  int32_t weight_decay_shift;
  int32_t batch_mantissa; /* 1/N = mantissa * 2^-shift; a power of two has mantissa 1 */
  int32_t batch_shift;
  uint32_t anchor;
  uint32_t importance;
  uint32_t reserved[4];
} strop_command;

/* Shift of one requantization and its saturation control (NUMERICS 1.4). */
typedef struct strop_site {
  int32_t set;  /* 0: the next use chooses the shift from the tensor itself, in two passes */
  int32_t next; /* shift of the next training step */
  int32_t used; /* shift of the last training step: what STROP_FLAG_FIXED uses */
  int32_t over; /* last counts, for inspection */
  int32_t half;
  int32_t reference; /* of an error: its exponent in the last training step, which `next` counts from; else 0 */
  int32_t reserved[2];
} strop_site;

/* What L1BN_FORWARD leaves for L1BN_BACKWARD, a channel. */
typedef struct strop_channel_statistics {
  int32_t mu;         /* Q.F on the int8 grid */
  int32_t sigma;      /* Q.F, at least 1 */
  int32_t multiplier; /* M: gamma / sigma, Q.S with the output exponent folded in */
  int32_t sign_sum;   /* SG: sum of sgn(x - mu) over the mini-batch; 0 with _FIXED and _RUNNING */
} strop_channel_statistics;

/* Head of a mini-batch slot; images, labels and logits follow at offsets that the program chose. */
typedef struct strop_slot {
  int32_t learning_rate_mantissa; /* in: lr = mantissa * 2^-shift */
  int32_t learning_rate_shift;    /* in */
  int32_t correct;                /* out: argmax equals label */
  int32_t samples;                /* out */
  int64_t loss_sum;               /* out: sum over the mini-batch, Q16 nats */
  int32_t reserved[10];
} strop_slot;

/* How a start ended, or how far it is. `command` and `step` name the command that stopped it, or with STROP_STATUS_RUNNING
 * the one under way: who waits in vain can read where the kernel is. All but steps_done is 0 after success. */
typedef struct strop_report {
  uint32_t status;
  uint32_t step;
  uint32_t command;
  uint32_t layer;
  uint32_t steps_done;
  uint32_t detail; /* LABEL_RANGE: the sample's index in its mini-batch; BAD_COMMAND: the word's index */
  uint64_t cycles; /* of the whole start; 0 where no counter or model exists */
} strop_report;

#endif /* STROP_CONTRACT_H */
