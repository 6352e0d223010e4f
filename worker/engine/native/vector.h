// As many floats at a time as a register of the instruction set holds, in the compiler's own vector types. Wider ones would go
// by way of the stack, and comparing and choosing lane by lane.
typedef float V __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef int32_t I __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef uint32_t U __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef uint64_t L __attribute__((vector_size(RM_REGISTER_BYTES)));
typedef int16_t H __attribute__((vector_size(RM_REGISTER_BYTES / 2)));
constexpr int64_t kLanes = sizeof(V) / sizeof(float);
// A small product's result is held in registers, so many rows and vectors of them at a time.
constexpr int kTileRows = 6, kTileVectors = RM_REGISTER_BYTES == 64 ? 4 : 2;

#if RM_REGISTER_BYTES == 64
#define RM_LANES 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
#define RM_LANES_BY_8 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7
#define RM_LANES_BY_4 4, 5, 6, 7, 0, 1, 2, 3, 12, 13, 14, 15, 8, 9, 10, 11
#define RM_LANES_BY_2 2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13
#define RM_LANES_BY_1 1, 0, 3, 2, 5, 4, 7, 6, 9, 8, 11, 10, 13, 12, 15, 14
#elif RM_REGISTER_BYTES == 32
#define RM_LANES 0, 1, 2, 3, 4, 5, 6, 7
#define RM_LANES_BY_4 4, 5, 6, 7, 0, 1, 2, 3
#define RM_LANES_BY_2 2, 3, 0, 1, 6, 7, 4, 5
#define RM_LANES_BY_1 1, 0, 3, 2, 5, 4, 7, 6
#else
#define RM_LANES 0, 1, 2, 3
#define RM_LANES_BY_2 2, 3, 0, 1
#define RM_LANES_BY_1 1, 0, 3, 2
#endif

RM_INLINE V all(float x) { return V{} + x; }
RM_INLINE V load(const float* p) { V v; std::memcpy(&v, p, sizeof v); return v; }
RM_INLINE void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
// Asks for what a loop over memory will come to: not every processor guesses it in time (docs/benchmarks.md, 2026-11-29).
RM_INLINE void fetchAhead(const float* p) {
  constexpr int64_t ahead = 512;
  __builtin_prefetch(p + ahead);
}
// The first n lanes; the others are 0, or are left alone.
RM_INLINE V load(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  V v{};
  if (n > 0) std::memcpy(&v, p, n * sizeof(float));
  return v;
}
RM_INLINE void store(float* p, V v, int64_t n) {
  if (n >= kLanes) store(p, v);
  else if (n > 0) std::memcpy(p, &v, n * sizeof(float));
}
RM_INLINE V firstLanes(V v, int64_t n) {
  if (n >= kLanes) return v;
  const I lane = {RM_LANES};
  return lane < (int32_t)n ? v : V{};
}
RM_INLINE V larger(V a, V b) { return a > b ? a : b; }

// Halves, then halves of the halves: one order for each size of register.
#if RM_REGISTER_BYTES == 64
#define RM_JOIN_8(V, OP) V = OP(V, __builtin_shuffle(V, U{RM_LANES_BY_8}));
#else
#define RM_JOIN_8(V, OP)
#endif
#if RM_REGISTER_BYTES >= 32
#define RM_JOIN_4(V, OP) V = OP(V, __builtin_shuffle(V, U{RM_LANES_BY_4}));
#else
#define RM_JOIN_4(V, OP)
#endif
#define RM_JOIN_LANES(V, OP)                             \
  RM_JOIN_8(V, OP)                                       \
  RM_JOIN_4(V, OP)                                       \
  V = OP(V, __builtin_shuffle(V, U{RM_LANES_BY_2}));     \
  return OP(V, __builtin_shuffle(V, U{RM_LANES_BY_1}))[0];
RM_INLINE V added(V a, V b) { return a + b; }
RM_INLINE float sum(V v) { RM_JOIN_LANES(v, added) }
RM_INLINE float largest(V v) { RM_JOIN_LANES(v, larger) }
#undef RM_JOIN_8
#undef RM_JOIN_4
#undef RM_JOIN_LANES

// eˣ to 2 ulp, 0 below −87.3: 2ⁿ·p(r) with the polynomial of Cephes' expf (Moshier).
RM_INLINE V exponential(V x) {
  const V low = all(-87.3f), high = all(88.3f);
  const V c = x < low ? low : (x > high ? high : x);
  // Adding and taking away 1.5·2²³ rounds to an integer.
  const V n = (c * 1.44269504f + 12582912.f) - 12582912.f;
  const V r = (c - n * 0.693359375f) + n * 2.12194440e-4f;
  V p = all(1.9875691500e-4f);
  p = p * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  p = p * r * r + r + 1.f;
  const I power = (__builtin_convertvector(n, I) + 127) << 23;
  return x < low ? V{} : p * (V)power;
}

#undef RM_LANES
#undef RM_LANES_BY_8
#undef RM_LANES_BY_4
#undef RM_LANES_BY_2
#undef RM_LANES_BY_1
