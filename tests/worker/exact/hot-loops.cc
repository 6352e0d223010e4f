// The hot loops of each instruction set that this processor has, over blocks of all lengths: prints a line for each, with a
// number made of all that they have written.
#include "hot_loops.h"

#include <cstdio>
#include <vector>

using namespace ringmaster;

#ifdef RM_HAS_LOOPS
namespace {

constexpr int kRounds = 4, kSources = 3, kBits = 29;

struct Case {
  std::vector<uint32_t> bounds = {0}, blocks, places;
  std::vector<float> values[kSources];
  uint64_t length = 0;

  Case() {
    for (uint32_t block = 0; block < 200; block++) {
      length += block < 150 ? block + 1 : 1024 - (block % 3);
      bounds.push_back(length);
      blocks.push_back(block);
      places.push_back(bounds[block]);
    }
    uint32_t state = 7;
    for (int s = 0; s < kSources; s++)
      for (uint64_t i = 0; i < length; i++) {
        state = state * 1664525 + 1013904223;
        float value = static_cast<int32_t>(state) * 1e-9f;
        if (state % 97 == 0) value *= 1e-20f;
        if (state % 1009 == 0) value = 1e-42f;
        if (i / 40 % 7 == 0) value = 0;
        values[s].push_back(value);
      }
    values[1][5000] = std::numeric_limits<float>::infinity();
    values[2][9000] = std::numeric_limits<float>::quiet_NaN();
  }
};

template <class T>
void AddBits(const std::vector<T>& values, uint64_t* number) {
  const uint8_t* bytes = reinterpret_cast<const uint8_t*>(values.data());
  for (size_t i = 0; i < values.size() * sizeof(T); i++) *number = (*number ^ bytes[i]) * 1099511628211u;
}

#define RM_RUN(SET)                                                                                                     \
  uint64_t Run_##SET(const Case& c) {                                                                                   \
    uint64_t number = 14695981039346656037u;                                                                            \
    for (int round = 0; round < kRounds; round++) {                                                                     \
      LoopRun run = {{}, nullptr, nullptr, c.length, 1 + round % kSources, (int64_t)c.blocks.size(), c.blocks.data()};                    \
      for (int s = 0; s < kSources; s++) run.sources[s] = c.values[s].data();                                           \
      std::vector<uint8_t> exponents(c.blocks.size()), filled(c.blocks.size(), round % 3);                              \
      std::vector<double> squares(c.blocks.size());                                                                     \
      std::vector<float> vector(c.length, 3), alone(c.length, 3);                                                       \
      std::vector<int32_t> sums(c.length);                                                                              \
      SET::RaiseExponents(exponents.data(), run, c.bounds.data());                                                      \
      for (int adds = 0; adds < 2; adds++)                                                                              \
        SET::Quantise({sums.data(), c.length}, run, c.bounds.data(), exponents.data(), c.places.data(), kBits, adds);   \
      std::vector<uint8_t> again = filled;                                                                              \
      SET::ScaleBack({vector.data(), c.length, filled.data(), squares.data()}, {sums.data(), c.length}, c.blocks.size(), \
                     c.bounds.data(), exponents.data(), c.places.data(), kBits, 100, kBits - 3);                        \
      SET::SumAlone({alone.data(), c.length, again.data(), squares.data()}, run, c.bounds.data(), kBits, nullptr);      \
      AddBits(alone, &number);                                                                                          \
      const std::vector<int32_t> arrived = sums;                                                                        \
      run.others = arrived.data();                                                                                      \
      SET::Quantise({sums.data(), c.length}, run, c.bounds.data(), exponents.data(), c.places.data(), kBits, false);    \
      SET::SumAlone({alone.data(), c.length, again.data(), squares.data()}, run, c.bounds.data(), kBits,                \
                    exponents.data());                                                                                  \
      AddBits(sums, &number), AddBits(alone, &number);                                                                  \
      const std::vector<uint32_t> keys = {5, 0x9e3779b9, 77};                                                           \
      run.keys = keys.data(), run.others = nullptr;                                                                     \
      SET::Quantise({sums.data(), c.length}, run, c.bounds.data(), exponents.data(), c.places.data(), 13, false);       \
      SET::SumAlone({alone.data(), c.length, again.data(), squares.data()}, run, c.bounds.data(), 5, nullptr);          \
      std::vector<int16_t> shorts(c.length);                                                                            \
      SET::Convert(shorts.data(), sums.data(), c.length), AddBits(shorts, &number);                                     \
      SET::AddIntegers((uint32_t*)sums.data(), (uint32_t*)sums.data() + 1, c.length - 1);                               \
      AddBits(exponents, &number), AddBits(sums, &number), AddBits(vector, &number), AddBits(alone, &number);           \
      AddBits(filled, &number), AddBits(again, &number), AddBits(squares, &number);                                     \
    }                                                                                                                   \
    return number;                                                                                                      \
  }
RM_RUN(avx2)
RM_RUN(avx512)

}  // namespace

int main() {
  const Case all;
  if (__builtin_cpu_supports("avx2")) std::printf("avx2 %016llx\n", (unsigned long long)Run_avx2(all));
  if (TakesAvx512()) std::printf("avx512 %016llx\n", (unsigned long long)Run_avx512(all));
}
#else
int main() {}
#endif
