// What the test bench counts while the kernel runs, to hold the cycle model to it: bytes between DRAM and the chip, and turns of the MAC
// array's loop. Single words (ReadWord, WriteWord) are not counted. Nothing is counted elsewhere.
#ifndef STROP_COUNTERS_HPP
#define STROP_COUNTERS_HPP

#ifndef STROP_COUNT_READ
#define STROP_COUNT_READ(bytes) static_cast<void>(0)
#define STROP_COUNT_WRITE(bytes) static_cast<void>(0)
#define STROP_COUNT_ARRAY(cycles) static_cast<void>(0)
#endif

#endif  // STROP_COUNTERS_HPP
