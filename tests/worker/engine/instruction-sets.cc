// Runs the loops of each instruction set that this processor has on the same inputs, and prints a line of JSON for each set but
// the plain one: how far its results lie from those of the plain one.
#include "instruction_sets.h"
#include <cstdio>

using namespace ringmaster;

static std::vector<float> numbers(int64_t count) {
  std::vector<float> values(count);
  uint32_t state = 12345;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;
    value = (state >> 8) / 8388608.f - 1;
  }
  return values;
}

struct Results {
  std::vector<int16_t> drawn;
  std::vector<float> values;

  void add(const std::vector<float>& more) { values.insert(values.end(), more.begin(), more.end()); }
};

static const int32_t seed[2] = {7, 9};

#define RM_RESULTS(SET)                                                                                                 \
  static Results resultsOf_##SET(int64_t length, int64_t size, float rate) {                                            \
    Results results;                                                                                                    \
    const Dropout dropout = plain::dropoutOf(seed, rate);                                                               \
    const int64_t batch = 2, heads = 3, features = heads * size, rows = batch * length;                                 \
    const auto projected = numbers(rows * 3 * features), bias = numbers(3 * features), mask = numbers(rows);            \
    const auto dContext = numbers(rows * features);                                                                     \
    std::vector<float> stats(batch * heads * length * 2), context(rows * features), dProjected(rows * 3 * features);    \
    std::vector<float> sums(batch * 3 * features), y(rows * features), normed(y), inverse(rows), dx(y), dResidual(y);   \
    std::vector<float> blocks((rows / kBlockRows + 1) * features * 3), gelu(y), weights(numbers(rows)), first(rows);    \
    std::vector<float> second(rows);                                                                                    \
    const AttentionJob job = {batch, length, heads, size, 0.2f, stats.data(), dropout, projected.data(), bias.data(),   \
                              mask.data(), false};                                                                      \
    const AttentionGradientJob gradient = {job, dContext.data(), context.data(), dProjected.data(), sums.data()};       \
    AttentionRoom room(length, size, false);                                                                            \
    for (int64_t item = 0; item < batch * heads; item++) SET::attend(job, context.data(), item, room);                  \
    for (int64_t item = 0; item < batch * heads; item++) SET::attendGradient(gradient, item, room);                     \
    std::vector<float> factors(features + kMostLanes);                                                                  \
    std::vector<int16_t> halves(features + 2 * kNumbers);                                                               \
    const NormRows norm = {features, 1e-12f, dropout, projected.data(), bias.data(), dContext.data(), bias.data(),      \
                           bias.data(), y.data(), normed.data(), inverse.data()};                                       \
    SET::normRows(norm, 0, rows, factors.data(), halves.data());                                                        \
    const NormGradient normed_ = {rows, features, dropout, dContext.data(), y.data(), normed.data(), inverse.data(),    \
                                  bias.data(), dx.data(), dResidual.data(), blocks.data()};                             \
    SET::normGradient(normed_, 0, (rows + kBlockRows - 1) / kBlockRows, factors.data(), halves.data());                 \
    results.add(blocks);                                                                                                \
    const GeluRows rowsOfGelu = {rows, features, projected.data(), bias.data(), dContext.data(), gelu.data(),           \
                                 blocks.data()};                                                                        \
    SET::geluRows(rowsOfGelu, 0, rows);                                                                                 \
    results.add(gelu);                                                                                                  \
    SET::geluGradient(rowsOfGelu, 0, (rows + kBlockRows - 1) / kBlockRows);                                             \
    const AdamRange adam = {weights.data(), weights.data(), first.data(), second.data(), mask.data(), 1e-3f, 1e-3f, 1,  \
                            0.99f,          0.9f,           0.999f,       true};                                        \
    SET::adamRange(adam, 0, rows);                                                                                      \
    for (const auto& more : {context, stats, dProjected, sums, y, inverse, dx, dResidual, gelu, blocks, weights, first, \
                             second})                                                                                   \
      results.add(more);                                                                                                \
    const MixJob mix = {heads, features, rows, dropout, projected.data(), dContext.data(), y.data()};                   \
    std::vector<float> dQueries(heads * features), dMixed(rows * features), rowTotals(5 * features);                    \
    const MixGradientJob mixSlopes = {mix, projected.data() + 9, dQueries.data(), dMixed.data()};                       \
    MixRoom mixRoom;                                                                                                    \
    SET::mix(mix, 0, 1, length, mixRoom);                                                                               \
    SET::mixGradient(mixSlopes, 0, 1, length, mixRoom);                                                                 \
    std::vector<int32_t> places(rows);                                                                                  \
    for (int64_t i = 0; i < rows; i++) places[i] = i % 6 - 1;                                                           \
    const RowSumsJob summed = {rows, features, 5, dContext.data(), places.data(), rowTotals.data()};                    \
    SET::rowSums(summed, 0, features / 2);                                                                              \
    SET::rowSums(summed, features / 2, features);                                                                       \
    for (int32_t& place : places) place = (place + 1) % rows;                                                           \
    std::vector<float> embedded(rows * features);                                                                       \
    SET::embedRows({features, projected.data(), dContext.data(), bias.data(), places.data(), places.data(),             \
                    std::vector<int32_t>(rows).data(), embedded.data()}, 0, rows);                                      \
    for (const auto& more : {y, dQueries, dMixed, rowTotals, embedded}) results.add(more);                              \
    if (rate > 0) {                                                                                                     \
      std::vector<int16_t> drawn(8 * kNumbers);                                                                         \
      for (int64_t at = 0; at < 8 * kNumbers; at += SET::kDrawn)                                                        \
        SET::randomNumbers(dropout.key, 24 + at, drawn.data() + at);                                                    \
      results.drawn = drawn;                                                                                            \
    }                                                                                                                   \
    return results;                                                                                                     \
  }

RM_RESULTS(plain)
#ifdef RM_SETS
#pragma GCC push_options
#pragma GCC target("avx2,fma")
RM_RESULTS(avx2)
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
RM_RESULTS(avx512)
#pragma GCC pop_options
#endif

// To the nearest bfloat16, ties to even.
static std::vector<uint16_t> halvesOf(const std::vector<float>& values) {
  std::vector<uint16_t> halves;
  for (const float value : values) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof bits);
    halves.push_back((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
  }
  return halves;
}

static const float kDiffers = std::nanf("");

// Products of bfloat16, by the loops of any set: of floats, and of what is bfloat16 already.
#define RM_NARROW_RESULTS(SET)                                                                                          \
  static std::vector<float> productOf_##SET(const ProductJob& product) {                                                \
    std::vector<float> c(product.rows * product.columns);                                                               \
    NarrowProductJob job = {product, 0, 0};                                                                             \
    job.product.c = c.data();                                                                                           \
    std::vector<uint32_t> left(job.leftWords()), right(job.rightWords());                                               \
    job.left = left.data();                                                                                             \
    job.right = right.data();                                                                                           \
    /* Threads pack them in any order. */                                                                               \
    for (int64_t i = job.groups(); i-- > 0;) SET::packNarrowRows(job, i, i + 1);                                        \
    for (int64_t i = job.units(); i-- > 0;) SET::packNarrowColumns(job, i, i + 1);                                      \
    SET::multiplyNarrowPart(job, {0, product.rows, 0, product.columns});                                                \
    return c;                                                                                                           \
  }                                                                                                                     \
  static std::vector<float> productsOf_##SET() {                                                                        \
    std::vector<float> results;                                                                                         \
    for (const bool turnedA : {false, true})                                                                            \
      for (const bool turnedB : {false, true})                                                                          \
        for (const int64_t size : {1, 37, 54, 131}) {                                                                   \
          const int64_t rows = size + 10, columns = 2 * size + 3, depth = size == 54 ? 96 : 5 * size + 2;               \
          const auto a = numbers(rows * depth), b = numbers(columns * depth);                                           \
          const auto narrowA = halvesOf(a), narrowB = halvesOf(b);                                                      \
          ProductJob product = {rows, columns, depth, turnedA, turnedB, a.data(), b.data(), nullptr};                   \
          const auto c = productOf_##SET(product);                                                                      \
          results.insert(results.end(), c.begin(), c.end());                                                            \
          product.narrowA = narrowA.data();                                                                             \
          if (productOf_##SET(product) != c) results.push_back(kDiffers);                                               \
          product.narrowB = narrowB.data();                                                                             \
          if (productOf_##SET(product) != c) results.push_back(kDiffers);                                               \
        }                                                                                                               \
    return results;                                                                                                     \
  }
// Attention that multiplies bfloat16, by the loops of any set.
#define RM_NARROW_ATTENTION(SET)                                                                                        \
  static std::vector<float> attentionOf_##SET() {                                                                       \
    std::vector<float> results;                                                                                         \
    for (const int64_t length : {5, 37, 128})                                                                           \
      for (const int64_t size : {4, 20, 32}) {                                                                          \
        const int64_t batch = 2, heads = 3, features = heads * size, rows = batch * length;                             \
        const auto projected = numbers(rows * 3 * features), bias = numbers(3 * features), mask = numbers(rows);        \
        const auto dContext = numbers(rows * features);                                                                 \
        std::vector<float> stats(batch * heads * length * 2), context(rows * features);                                 \
        std::vector<float> dProjected(rows * 3 * features), sums(batch * 3 * features);                                 \
        const AttentionJob job = {batch, length, heads, size, 0.2f, stats.data(), plain::dropoutOf(seed, 0.1f),         \
                                  projected.data(), bias.data(), mask.data(), true};                                    \
        const AttentionGradientJob gradient = {job, dContext.data(), context.data(), dProjected.data(), sums.data()};   \
        AttentionRoom room(length, size, true);                                                                         \
        std::vector<uint16_t> narrow(context.size()), narrowSlopes(dProjected.size());                                  \
        AttentionGradientJob narrowly = gradient;                                                                       \
        narrowly.dProjected = narrowSlopes.data();                                                                      \
        for (int64_t item = 0; item < batch * heads; item++) {                                                          \
          SET::attend(job, context.data(), item, room);                                                                 \
          SET::attend(job, narrow.data(), item, room);                                                                  \
        }                                                                                                               \
        for (int64_t item = 0; item < batch * heads; item++) {                                                          \
          SET::attendGradient(narrowly, item, room);                                                                    \
          SET::attendGradient(gradient, item, room);                                                                    \
        }                                                                                                               \
        if (narrow != halvesOf(context) || narrowSlopes != halvesOf(dProjected)) results.push_back(kDiffers);           \
        for (const auto& more : {context, dProjected, sums}) results.insert(results.end(), more.begin(), more.end());   \
      }                                                                                                                 \
    return results;                                                                                                     \
  }
RM_NARROW_ATTENTION(plain)
RM_NARROW_RESULTS(plain)
#ifdef RM_SETS
RM_NARROW_ATTENTION(avx2)
RM_NARROW_ATTENTION(avx512)
#ifdef RM_HAS_BFLOAT16
RM_NARROW_ATTENTION(avx512bf16)
#endif
RM_NARROW_RESULTS(avx2)
RM_NARROW_RESULTS(avx512)
#ifdef RM_HAS_BFLOAT16
RM_NARROW_RESULTS(avx512bf16)
#endif
#ifdef RM_HAS_TILES
RM_NARROW_ATTENTION(amx)
RM_NARROW_RESULTS(amx)
#endif
#endif

// Whether row by row what is put narrow is what is put wide, rounded.
#define RM_NARROW_ROWS(SET)                                                                                             \
  static bool roundsRows_##SET() {                                                                                      \
    const int64_t rows = 37, features = 41, blocks = rows / kBlockRows + 1;                                             \
    const auto x = numbers(rows * features), dy = numbers(rows * features + 3), bias = numbers(features);               \
    std::vector<float> wide(rows * features), dResidual(wide), parts(blocks * features * 3), inverse(rows, 0.5f);       \
    std::vector<uint16_t> narrow(wide.size());                                                                          \
    std::vector<float> factors(features + kMostLanes);                                                                  \
    std::vector<int16_t> drawn(features + 2 * kNumbers);                                                                \
    bool same = true;                                                                                                   \
    for (const Result& to : {Result(wide.data()), Result(narrow.data())}) SET::geluRows({rows, features, x.data(), bias.data(), nullptr, to, nullptr}, 0, rows); \
    same = same && narrow == halvesOf(wide);                                                                            \
    for (const Result& to : {Result(wide.data()), Result(narrow.data())}) SET::geluGradient({rows, features, x.data(), bias.data(), dy.data(), to, parts.data()}, 0, blocks); \
    same = same && narrow == halvesOf(wide);                                                                            \
    for (const Result& to : {Result(wide.data()), Result(narrow.data())}) SET::normGradient({rows, features, plain::dropoutOf(seed, 0.1f), dy.data(), nullptr, x.data(), inverse.data(), bias.data(), to, dResidual.data(), parts.data()}, 0, blocks, factors.data(), drawn.data()); \
    return same && narrow == halvesOf(wide);                                                                            \
  }
RM_NARROW_ROWS(plain)
#ifdef RM_SETS
RM_NARROW_ROWS(avx2)
RM_NARROW_ROWS(avx512)
#endif

static float furthestOf(const std::vector<float>& expected, const std::vector<float>& found) {
  float furthest = 0;
  for (size_t i = 0; i < expected.size(); i++) {
    const float distance = std::fabs(found[i] - expected[i]) / (1 + std::fabs(expected[i]));
    // A NaN counts as far away.
    if (!(distance <= furthest)) furthest = distance;
  }
  return std::isfinite(furthest) ? furthest : 1e30;
}

static void print(const char* name, float furthest, bool sameNumbers, float bound = 2e-5f) {
  std::printf("{\"set\":\"%s\",\"furthest\":%g,\"bound\":%g,\"sameNumbers\":%s}\n", name, furthest, bound,
              sameNumbers ? "true" : "false");
}

// An exponential that differs in its last bit may be rounded to another bfloat16.
constexpr float kNarrowBound = 4e-3f;

static void compare(const char* name, Results (*resultsOf)(int64_t, int64_t, float)) {
  float furthest = 0;
  bool sameNumbers = true;
  for (const int64_t length : {5, 37, 128})
    for (const int64_t size : {4, 20, 32, 40})
      for (const float rate : {0.f, 0.1f}) {
        const Results expected = resultsOf_plain(length, size, rate), found = resultsOf(length, size, rate);
        sameNumbers = sameNumbers && expected.drawn == found.drawn;
        furthest = std::max(furthest, furthestOf(expected.values, found.values));
      }
  print(name, furthest, sameNumbers);
}

int main() {
  print("plain, narrow rows", 0, roundsRows_plain());
#ifdef RM_SETS
  const auto products = productsOf_plain(), attention = attentionOf_plain();
  if (instructionSet() != InstructionSet::plain) {
    compare("avx2", resultsOf_avx2);
    print("avx2, narrow rows", 0, roundsRows_avx2());
    print("avx2, bfloat16", furthestOf(products, productsOf_avx2()), true);
    print("avx2, attention of bfloat16", furthestOf(attention, attentionOf_avx2()), true, kNarrowBound);
  }
  if (instructionSet() == InstructionSet::avx512) {
    compare("avx512", resultsOf_avx512);
    print("avx512, narrow rows", 0, roundsRows_avx512());
    print("avx512, bfloat16", furthestOf(products, productsOf_avx512()), true);
    print("avx512, attention of bfloat16", furthestOf(attention, attentionOf_avx512()), true, kNarrowBound);
  }
#ifdef RM_HAS_BFLOAT16
  if (multipliesBfloat16()) {
    print("avx512bf16", furthestOf(products, productsOf_avx512bf16()), true);
    print("avx512bf16, attention", furthestOf(attention, attentionOf_avx512bf16()), true, kNarrowBound);
  }
#endif
#ifdef RM_HAS_TILES
  if (multipliesTiles()) {
    print("amx", furthestOf(products, productsOf_amx()), true);
    print("amx, attention", furthestOf(attention, attentionOf_amx()), true, kNarrowBound);
  }
#endif
#endif
  return 0;
}
