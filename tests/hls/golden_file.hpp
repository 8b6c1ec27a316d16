// Recorded runs (tests/hls/golden.py describes the files): read, laid into an arena, compared with what the reference device left.
#ifndef STROP_TESTS_GOLDEN_FILE_HPP
#define STROP_TESTS_GOLDEN_FILE_HPP

#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

namespace golden {

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

inline Segment ReadSegment(Reader &reader, uint64_t arena_bytes) {
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

inline bool ReadGolden(const char *path, Golden &golden) {
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
inline uint64_t CountWrong(const Golden &golden, Arena &arena, const char *path, const std::string &who) {
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

// Whether the kernel has the versions that the run was recorded with.
inline bool VersionsAgree(const Golden &golden, const char *path, uint32_t version) {
  if (version == ((golden.contract << 16) | golden.numerics)) return true;
  std::fprintf(stderr, "%s was recorded for contract %u, numerics %u; the kernel reports %u, %u\n", path,
               golden.contract, golden.numerics, version >> 16, version & 0xFFFF);
  return false;
}

}  // namespace golden

#endif  // STROP_TESTS_GOLDEN_FILE_HPP
