// The hot loops of ../assembly and ../../hashing/assembly for the processor at hand: the same arguments, the same bits. A register
// holds 32 or 64 bytes, where WebAssembly's holds 16. Nothing is fused that is rounded twice there: compiled with
// -ffp-contract=off.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

#define RM_ALWAYS_INLINE static inline __attribute__((always_inline))
#define RM_ALWAYS_INLINE_METHOD inline __attribute__((always_inline))

namespace ringmaster {

constexpr uint32_t kNotFinite = 255;
constexpr int kExponentBias = 126;
constexpr int64_t kSourcesMax = 224;
constexpr uint32_t kLaneNumbers[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};

RM_ALWAYS_INLINE int Half(int exponent) { return exponent >> 1; }

RM_ALWAYS_INLINE float PowerOfTwo(int exponent) {
  const uint32_t bits = static_cast<uint32_t>(exponent + 127) << 23;
  float power;
  std::memcpy(&power, &bits, sizeof power);
  return power;
}

RM_ALWAYS_INLINE uint32_t ExponentOf(uint32_t mostBits) { return mostBits == 0 ? 0 : std::max(mostBits >> 23, 1u); }

// What a block's elements are multiplied by to be integers (2^k), and integers to be elements; in two steps each. Of a block that is
// not finite nothing becomes of either.
struct BlockScale {
  float first, second, back, further;

  BlockScale(uint32_t exponent, int bits) {
    const int k = bits + kExponentBias - static_cast<int>(exponent);
    const bool finite = exponent != kNotFinite;
    first = finite ? PowerOfTwo(Half(k)) : 0, second = PowerOfTwo(k - Half(k));
    back = finite ? PowerOfTwo(-k - Half(-k)) : std::numeric_limits<float>::quiet_NaN(), further = PowerOfTwo(Half(-k));
  }
};

// Blocks whose elements lie one after the other at the sources, one at least, each with room for so many elements.
struct LoopRun {
  const float *sources[kSourcesMax];
  // By which values are rounded up or down at random, one a source; null rounds to the nearest.
  const uint32_t *keys;
  // What other ranks have made integers of; null for nothing.
  const int32_t *others;
  uint64_t room;
  int64_t sourceCount, count;
  const uint32_t *blocks;
};

// Where integers may lie.
struct Integers {
  int32_t *data;
  uint64_t room;
};

// A vector of sums, and what is known of its blocks.
struct SumVector {
  float *data;
  uint64_t room;
  uint8_t *filled;
  double *squares;

  // A block that is zero: nothing changes but what is left of another step.
  void PutZeros(uint32_t block, uint32_t start, uint32_t size) const {
    if (filled[block] != 2) return;
    std::memset(data + start, 0, size * sizeof *data);
    filled[block] = 0;
  }
};

}  // namespace ringmaster

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RM_HAS_LOOPS 1
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define RM_REGISTER_BYTES 64
namespace ringmaster {
namespace avx512 {
#include "block_loops.h"
}  // namespace avx512
}  // namespace ringmaster
#undef RM_REGISTER_BYTES
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define RM_REGISTER_BYTES 32
namespace ringmaster {
namespace avx2 {
#include "block_loops.h"
}  // namespace avx2
}  // namespace ringmaster
#undef RM_REGISTER_BYTES
#pragma GCC pop_options

namespace ringmaster {
inline bool TakesAvx512() {
  static const bool takes = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                            __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
  return takes;
}
inline bool HasLoops() { return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"); }
}  // namespace ringmaster
#define RM_CALL_LOOP(LOOP, ...) \
  (ringmaster::TakesAvx512() ? ringmaster::avx512::LOOP(__VA_ARGS__) : ringmaster::avx2::LOOP(__VA_ARGS__))
#endif

namespace ringmaster {

// XXH64 (../../hashing/assembly/xxh64.ts): start, any number of whole stripes of 32 bytes, finish with what is left.
class Xxh64 {
  static constexpr uint64_t kPrime1 = 0x9e3779b185ebca87, kPrime2 = 0xc2b2ae3d27d4eb4f, kPrime3 = 0x165667b19e3779f9,
                            kPrime4 = 0x85ebca77c2b2ae63, kPrime5 = 0x27d4eb2f165667c5;
  uint64_t lanes_[4] = {};

  static uint64_t Rotate(uint64_t value, int bits) { return value << bits | value >> (64 - bits); }
  static uint64_t Round(uint64_t lane, uint64_t input) {
    lane = Rotate(lane + input * kPrime2, 31) * kPrime1;
#ifdef __x86_64__
    // Four lanes in a register would be slower: it has no such multiplication, or a slow one.
    asm("" : "+r"(lane));
#endif
    return lane;
  }
  template <class Word>
  static uint64_t Load(const uint8_t *from) {
    Word word;
    std::memcpy(&word, from, sizeof word);
    return word;
  }

 public:
  void Start() { lanes_[0] = kPrime1 + kPrime2, lanes_[1] = kPrime2, lanes_[2] = 0, lanes_[3] = 0 - kPrime1; }
  void Stripes(const uint8_t *data, uint64_t count) {
    uint64_t a = lanes_[0], b = lanes_[1], c = lanes_[2], d = lanes_[3];
    for (const uint8_t *end = data + count * 32; data < end; data += 32) {
      a = Round(a, Load<uint64_t>(data));
      b = Round(b, Load<uint64_t>(data + 8));
      c = Round(c, Load<uint64_t>(data + 16));
      d = Round(d, Load<uint64_t>(data + 24));
    }
    lanes_[0] = a, lanes_[1] = b, lanes_[2] = c, lanes_[3] = d;
  }
  // Of `total` bytes, of which the last `total mod 32` lie at `tail`.
  uint64_t Finish(uint64_t total, const uint8_t *tail) const {
    uint64_t hash = kPrime5;
    if (total >= 32) {
      hash = Rotate(lanes_[0], 1) + Rotate(lanes_[1], 7) + Rotate(lanes_[2], 12) + Rotate(lanes_[3], 18);
      for (const uint64_t lane : lanes_) hash = (hash ^ Round(0, lane)) * kPrime1 + kPrime4;
    }
    hash += total;
    const uint8_t *end = tail + total % 32;
    for (; tail + 8 <= end; tail += 8) hash = Rotate(hash ^ Round(0, Load<uint64_t>(tail)), 27) * kPrime1 + kPrime4;
    if (tail + 4 <= end) {
      hash = Rotate(hash ^ Load<uint32_t>(tail) * kPrime1, 23) * kPrime2 + kPrime3;
      tail += 4;
    }
    for (; tail < end; tail++) hash = Rotate(hash ^ *tail * kPrime5, 11) * kPrime1;
    hash = (hash ^ hash >> 33) * kPrime2;
    hash = (hash ^ hash >> 29) * kPrime3;
    return hash ^ hash >> 32;
  }
};

}  // namespace ringmaster
