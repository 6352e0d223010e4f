// The loops over blocks, for registers of RM_REGISTER_BYTES: included once for each instruction set.
typedef float V __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef int32_t I __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef uint32_t U __attribute__((vector_size(RM_REGISTER_BYTES)));
// As many doubles as a register holds, and floats that become them.
typedef double D __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef float H __attribute__((vector_size(RM_REGISTER_BYTES / 2)));
constexpr int64_t kLanes = RM_REGISTER_BYTES / sizeof(float), kDoubles = kLanes / 2;

template <class Register, class Element>
RM_ALWAYS_INLINE Register Load(const Element *from) {
  Register r;
  std::memcpy(&r, from, sizeof r);
  return r;
}

// To the nearest, ties to even.
RM_ALWAYS_INLINE I Rounded(V v) {
#if RM_REGISTER_BYTES == 64
  return (I)_mm512_cvtps_epi32((__m512)v);
#else
  return (I)_mm256_cvtps_epi32((__m256)v);
#endif
}
RM_ALWAYS_INLINE int32_t Rounded(float v) { return _mm_cvtss_si32(_mm_set_ss(v)); }

RM_ALWAYS_INLINE V Widened(I i) { return __builtin_convertvector(i, V); }
RM_ALWAYS_INLINE float Widened(int32_t i) { return static_cast<float>(i); }

// Down.
RM_ALWAYS_INLINE I Floored(V v) {
#if RM_REGISTER_BYTES == 64
  return (I)_mm512_cvt_roundps_epi32((__m512)v, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  return (I)_mm256_cvttps_epi32(_mm256_floor_ps((__m256)v));
#endif
}
RM_ALWAYS_INLINE int32_t Floored(float v) { return _mm_cvttss_si32(_mm_set_ss(std::floor(v))); }

RM_ALWAYS_INLINE U NumbersFrom(uint32_t first, V) { return Load<U>(kLaneNumbers) + first; }
RM_ALWAYS_INLINE uint32_t NumbersFrom(uint32_t first, float) { return first; }

RM_ALWAYS_INLINE I Bounded(I q, int32_t most) {
  const I highest = I{} + most;
  q = q < highest ? q : highest;
  return q > -highest ? q : -highest;
}
RM_ALWAYS_INLINE int32_t Bounded(int32_t q, int32_t most) { return std::max(std::min(q, most), -most); }

// Up or down at random, so that the average is right: ⌊scaled + share⌋, kept within ±most (`fourRounded` of ../assembly/integers.ts).
// @param number the first element's in the vector
template <class Integer, class Word, class Real>
RM_ALWAYS_INLINE Integer RandomlyRounded(Real scaled, uint32_t number, uint32_t key, int32_t most) {
  Word x = NumbersFrom(number, scaled) * 0x9e3779b1u + key;
  x ^= x >> 16;
  x *= 0x85ebca6bu;
  x ^= x >> 13;
  x *= 0xc2b2ae35u;
  x ^= x >> 16;
  const Real share = Widened((Integer)(x >> 8)) * 0x1p-24f;
  return Bounded(Floored(scaled + share), most);
}

// The largest magnitude of some elements, as bits, or `most` where that is larger.
RM_ALWAYS_INLINE uint32_t MostBits(const float *from, int64_t count, uint32_t most) {
  U lanes[4] = {};
  int64_t i = 0;
  for (; i + 4 * kLanes <= count; i += 4 * kLanes)
    for (int64_t part = 0; part < 4; part++) {
      const U bits = Load<U>(from + i + part * kLanes) & 0x7fffffff;
      lanes[part] = bits > lanes[part] ? bits : lanes[part];
    }
  for (const U &part : lanes)
    for (int64_t l = 0; l < kLanes; l++) most = std::max<uint32_t>(most, part[l]);
  for (; i < count; i++) most = std::max(most, Load<uint32_t>(from + i) & 0x7fffffff);
  return most;
}

// Σ x² in the order of `squaresOf` (../assembly/squares.ts): eight lanes, then the rest. The square of a float is exact.
struct Squares {
  D lanes[8 / kDoubles] = {};
};

// Adds those of eight elements.
RM_ALWAYS_INLINE void AddSquares(Squares &squares, const float *from) {
  for (int64_t part = 0; part < 8 / kDoubles; part++) {
    const D wide = __builtin_convertvector(Load<H>(from + part * kDoubles), D);
    squares.lanes[part] += wide * wide;
  }
}

// The sum of a block whose elements have been added up to `done`, a multiple of eight.
RM_ALWAYS_INLINE double SumOfSquares(Squares &squares, const float *from, int64_t done, int64_t count) {
  for (; done + 8 <= count; done += 8) AddSquares(squares, from + done);
  double lanes[8];
  std::memcpy(lanes, squares.lanes, sizeof lanes);
  double sum = ((lanes[0] + lanes[2]) + (lanes[4] + lanes[6])) + ((lanes[1] + lanes[3]) + (lanes[5] + lanes[7]));
  for (; done < count; done++) sum += static_cast<double>(from[done]) * static_cast<double>(from[done]);
  return sum;
}

// Integers of a run's block: Σ of those of its sources and of the others, at an element, or for a register of elements.
template <bool byKeys>
struct BlockIntegers {
  const LoopRun &run;
  // Elements before it at the sources.
  const uint64_t at;
  const BlockScale scale;
  // Its first element's in the vector.
  const uint32_t number;
  const int32_t most;

  BlockIntegers(const LoopRun &run, uint64_t at, uint32_t exponent, uint32_t number, int bits)
      : run(run), at(at), scale(exponent, bits), number(number), most(byKeys ? (1 << bits) - 1 : 0) {}

  template <class Integer, class Word, class Real>
  RM_ALWAYS_INLINE_METHOD Integer OfSource(int64_t s, int64_t j) const {
    const Real scaled = Load<Real>(run.sources[s] + at + j) * scale.first * scale.second;
    if (byKeys) return RandomlyRounded<Integer, Word>(scaled, number + j, run.keys[s], most);
    return Rounded(scaled);
  }
  template <class Integer, class Word, class Real>
  RM_ALWAYS_INLINE_METHOD Integer Sum(int64_t j) const {
    Integer sum = OfSource<Integer, Word, Real>(0, j);
    if (run.others != nullptr) sum += Load<Integer>(run.others + at + j);
    for (int64_t s = 1; s < run.sourceCount; s++) sum += OfSource<Integer, Word, Real>(s, j);
    return sum;
  }
  RM_ALWAYS_INLINE_METHOD I Register(int64_t j) const { return Sum<I, U, V>(j); }
  RM_ALWAYS_INLINE_METHOD int32_t One(int64_t j) const { return Sum<int32_t, uint32_t, float>(j); }
};

// Puts integers scaled back, or adds them to what is there.
template <class Real, class Integer>
RM_ALWAYS_INLINE void PutScaled(Integer integers, const BlockScale &scale, bool adds, float *to) {
  Real values = Widened(integers) * scale.back * scale.further;
  if (adds) values = Load<Real>(to) + values;
  std::memcpy(to, &values, sizeof values);
}

// Fills a block, or adds to it, what `integersAt` gives for its elements, scaled back. Gives Σ x² of the block.
template <class IntegersOf, class IntegerOf>
RM_ALWAYS_INLINE double PutBlock(float *to, int64_t size, const BlockScale &scale, bool adds, const IntegersOf &integersOf,
                                 const IntegerOf &integerOf) {
  Squares squares;
  int64_t j = 0;
  for (; j + kLanes <= size; j += kLanes) {
    PutScaled<V>(integersOf(j), scale, adds, to + j);
    for (int64_t l = 0; l < kLanes; l += 8) AddSquares(squares, to + j + l);
  }
  const int64_t done = j;
  for (; j < size; j++) PutScaled<float>(integerOf(j), scale, adds, to + j);
  return SumOfSquares(squares, to, done, size);
}

static bool RaiseExponents(uint8_t *exponents, const LoopRun &run, const uint32_t *bounds) {
  for (int64_t s = 0; s < run.sourceCount; s++) {
    uint64_t at = 0;
    for (int64_t i = 0; i < run.count; i++) {
      const uint32_t b = run.blocks[i], size = bounds[b + 1] - bounds[b];
      if (at + size > run.room) return false;
      exponents[b] = std::max<uint32_t>(exponents[b], ExponentOf(MostBits(run.sources[s] + at, size, 0)));
      at += size;
    }
  }
  return true;
}

template <bool byKeys>
static bool QuantiseRun(const Integers &sums, const LoopRun &run, const uint32_t *bounds, const uint8_t *exponents,
                        const uint32_t *places, int bits, bool adds) {
  uint64_t at = 0;
  for (int64_t i = 0; i < run.count; i++) {
    const uint32_t b = run.blocks[i], size = bounds[b + 1] - bounds[b], exponent = exponents[b];
    if (at + size > run.room) return false;
    if (exponent != 0) {
      if ((uint64_t)places[b] + size > sums.room) return false;
      int32_t *to = sums.data + places[b];
      const BlockIntegers<byKeys> integers(run, at, exponent, bounds[b], bits);
      if (exponent == kNotFinite) std::memset(to, 0, size * sizeof *to);
      int64_t j = exponent == kNotFinite ? size : 0;
      for (; j + kLanes <= size; j += kLanes) {
        I q = integers.Register(j);
        if (adds) q += Load<I>(to + j);
        std::memcpy(to + j, &q, sizeof q);
      }
      for (; j < size; j++) to[j] = integers.One(j) + (adds ? to[j] : 0);
    }
    at += size;
  }
  return true;
}

static bool Quantise(const Integers &sums, const LoopRun &run, const uint32_t *bounds, const uint8_t *exponents,
                     const uint32_t *places, int bits, bool adds) {
  if (run.keys == nullptr) return QuantiseRun<false>(sums, run, bounds, exponents, places, bits, adds);
  return QuantiseRun<true>(sums, run, bounds, exponents, places, bits, adds);
}

// Blocks 0 … count of a vector. Those from `wide` on have `wideBits`, those before `bits`.
static bool ScaleBack(const SumVector &vector, const Integers &sums, int64_t count, const uint32_t *bounds,
                      const uint8_t *exponents, const uint32_t *places, int bits, int64_t wide, int wideBits) {
  for (int64_t b = 0; b < count; b++) {
    const uint32_t exponent = exponents[b], size = bounds[b + 1] - bounds[b];
    if ((uint64_t)bounds[b] + size > vector.room) return false;
    if (exponent == 0) {
      vector.PutZeros(b, bounds[b], size);
      continue;
    }
    if ((uint64_t)places[b] + size > sums.room) return false;
    const bool adds = vector.filled[b] == 1;
    const BlockScale scale(exponent, b < wide ? bits : wideBits);
    const int32_t *from = sums.data + places[b];
    vector.filled[b] = 1;
    vector.squares[b] = PutBlock(vector.data + bounds[b], size, scale, adds, [&](int64_t j) { return Load<I>(from + j); },
                                 [&](int64_t j) { return from[j]; });
  }
  return true;
}

template <bool byKeys>
static bool SumRun(const SumVector &vector, const LoopRun &run, const uint32_t *bounds, int bits, const uint8_t *agreed) {
  uint64_t at = 0;
  for (int64_t i = 0; i < run.count; i++) {
    const uint32_t b = run.blocks[i], size = bounds[b + 1] - bounds[b];
    if ((uint64_t)bounds[b] + size > vector.room || at + size > run.room) return false;
    uint32_t most = 0;
    for (int64_t s = 0; s < run.sourceCount && agreed == nullptr; s++) most = MostBits(run.sources[s] + at, size, most);
    const uint32_t exponent = agreed == nullptr ? ExponentOf(most) : agreed[b];
    if (exponent == 0) {
      vector.PutZeros(b, bounds[b], size);
    } else {
      const bool adds = vector.filled[b] == 1;
      const BlockIntegers<byKeys> integers(run, at, exponent, bounds[b], bits);
      vector.filled[b] = 1;
      vector.squares[b] = PutBlock(vector.data + bounds[b], size, integers.scale, adds,
                                   [&](int64_t j) { return integers.Register(j); }, [&](int64_t j) { return integers.One(j); });
    }
    at += size;
  }
  return true;
}

// @param agreed exponents of the blocks, where others have something too; otherwise null
static bool SumAlone(const SumVector &vector, const LoopRun &run, const uint32_t *bounds, int bits, const uint8_t *agreed) {
  if (run.keys == nullptr) return SumRun<false>(vector, run, bounds, bits, agreed);
  return SumRun<true>(vector, run, bounds, bits, agreed);
}

static void AddIntegers(uint32_t *sums, const uint32_t *others, int64_t count) {
  for (int64_t i = 0; i < count; i++) sums[i] += others[i];
}

template <class To, class From>
static void Convert(To *to, const From *from, int64_t count) {
  for (int64_t i = 0; i < count; i++) to[i] = static_cast<To>(from[i]);
}
