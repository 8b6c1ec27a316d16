// C simulation of the kernel: recorded programs through the top function, compared byte for byte with what the reference
// device left. Each file (tests/hls/golden.py describes it) holds whole training steps or inference.
//
//   csim FILE...       exit status 0 if every file agrees
//
// The same runs go through the emulator in every instruction set and with several threads, so that what is synthesized and what
// laptops run are held to the same bytes.

#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "kernel.hpp"

extern "C" {
#include "native/emulator.h"
}

namespace {

struct Segment {
  uint64_t offset;
  std::vector<uint8_t> data;
};

struct Golden {
  uint32_t contract;
  uint32_t numerics;
  uint32_t registers[8];
  uint64_t arena_bytes;
  std::vector<Segment> initial;
  std::vector<Segment> expected;
};

// Reads a file from its beginning; what is missing makes `ok` false.
class Reader {
 public:
  explicit Reader(const char *path) : file_(std::fopen(path, "rb")), ok(file_ != nullptr) {}
  ~Reader() {
    if (file_ != nullptr) std::fclose(file_);
  }
  Reader(const Reader &) = delete;
  Reader &operator=(const Reader &) = delete;

  void Bytes(void *to, size_t count) {
    if (ok && count > 0) ok = std::fread(to, 1, count, file_) == count;
  }

  template <typename T>
  T Value() {
    T value = 0;
    Bytes(&value, sizeof value);
    return value;
  }

 private:
  std::FILE *file_;

 public:
  bool ok;
};

Segment ReadSegment(Reader &reader, uint64_t arena_bytes) {
  Segment segment;
  segment.offset = reader.Value<uint64_t>();
  const uint64_t length = reader.Value<uint64_t>();
  if (!reader.ok || length > arena_bytes || segment.offset > arena_bytes - length) {
    reader.ok = false;
    return segment;
  }
  segment.data.resize(length);
  reader.Bytes(segment.data.data(), length);
  return segment;
}

bool ReadGolden(const char *path, Golden &golden) {
  Reader reader(path);
  char magic[8] = {};
  reader.Bytes(magic, sizeof magic);
  const uint32_t format = reader.Value<uint32_t>();
  golden.contract = reader.Value<uint32_t>();
  golden.numerics = reader.Value<uint32_t>();
  for (uint32_t &value : golden.registers) value = reader.Value<uint32_t>();
  golden.arena_bytes = reader.Value<uint64_t>();
  const uint32_t initial = reader.Value<uint32_t>();
  const uint32_t expected = reader.Value<uint32_t>();
  if (!reader.ok || std::memcmp(magic, "STROPGLD", sizeof magic) != 0 || format != 1) {
    std::fprintf(stderr, "%s: not a golden file of format 1\n", path);
    return false;
  }
  for (uint32_t i = 0; i < initial && reader.ok; ++i) golden.initial.push_back(ReadSegment(reader, golden.arena_bytes));
  for (uint32_t i = 0; i < expected && reader.ok; ++i)
    golden.expected.push_back(ReadSegment(reader, golden.arena_bytes));
  if (!reader.ok) std::fprintf(stderr, "%s: truncated or inconsistent\n", path);
  return reader.ok;
}

// The arena as the kernel's ports see it: aligned, and int32 words.
class Arena {
 public:
  explicit Arena(const Golden &golden) : words_(golden.arena_bytes / 4 + 32, 0) {
    const uintptr_t address = reinterpret_cast<uintptr_t>(words_.data());
    start_ = words_.data() + (64 - address % 64) % 64 / 4;
    for (const Segment &segment : golden.initial) {
      std::memcpy(bytes() + segment.offset, segment.data.data(), segment.data.size());
    }
  }
  int8_t *bytes() { return reinterpret_cast<int8_t *>(start_); }
  int32_t *words() { return start_; }

 private:
  std::vector<int32_t> words_;
  int32_t *start_;
};

// Bytes that are not as recorded; the first is named.
uint64_t CountWrong(const Golden &golden, Arena &arena, const char *path, const std::string &who) {
  uint64_t wrong = 0;
  for (const Segment &segment : golden.expected) {
    for (size_t i = 0; i < segment.data.size(); ++i) {
      const uint8_t got = static_cast<uint8_t>(arena.bytes()[segment.offset + i]);
      if (got == segment.data[i]) continue;
      if (wrong == 0) {
        std::fprintf(stderr, "%s, %s: arena byte %llu is %u, expected %u\n", path, who.c_str(),
                     static_cast<unsigned long long>(segment.offset + i), got, segment.data[i]);
      }
      ++wrong;
    }
  }
  return wrong;
}

uint64_t RunTop(const Golden &golden, const char *path) {
  Arena arena(golden);
  const uint32_t *r = golden.registers;
  uint32_t version = 0;
  strop_kernel(arena.bytes(), arena.words(), arena.bytes(), arena.bytes(), r[0], r[1], r[2], r[3], r[4], r[5], r[6], r[7], &version);
  if (version != ((golden.contract << 16) | golden.numerics)) {
    std::fprintf(stderr, "%s was recorded for contract %u, numerics %u; the kernel reports %u, %u\n", path,
                 golden.contract, golden.numerics, version >> 16, version & 0xFFFF);
    return 1;
  }
  return CountWrong(golden, arena, path, "top function");
}

uint64_t RunEmulators(const Golden &golden, const char *path) {
  uint64_t wrong = 0;
  for (uint32_t isa = STROP_ISA_PORTABLE; isa < STROP_ISA_COUNT; ++isa) {
    if (!strop_emulator_supports(isa)) continue;
    for (uint32_t threads = 1; threads <= 3; threads += 2) {
      Arena arena(golden);
      const uint32_t *r = golden.registers;
      strop_emulator *emulator = strop_emulator_open(threads, isa);
      if (emulator == nullptr) return 1;
      strop_emulator_run(emulator, reinterpret_cast<uint8_t *>(arena.bytes()), r[0], r[1], r[2], r[3], r[4], r[5], r[6],
                         r[7]);
      strop_emulator_close(emulator);
      wrong += CountWrong(golden, arena, path,
                          "emulator, instruction set " + std::to_string(isa) + ", threads " + std::to_string(threads));
    }
  }
  return wrong;
}

}  // namespace

int main(int argc, char **argv) {
  int failed = 0;
  for (int i = 1; i < argc; ++i) {
    Golden golden;
    if (!ReadGolden(argv[i], golden)) {
      ++failed;
      continue;
    }
    const uint64_t wrong = RunTop(golden, argv[i]) + RunEmulators(golden, argv[i]);
    std::printf("%s: %u commands, %u steps: %s\n", argv[i], golden.registers[1], golden.registers[2],
                wrong == 0 ? "equal" : "DIFFERENT");
    failed += wrong == 0 ? 0 : 1;
  }
  if (argc < 2) {
    std::fprintf(stderr, "usage: csim FILE...\n");
    return 2;
  }
  return failed == 0 ? 0 : 1;
}
