// Sixteen floats at a time, in the compiler's own vector types: one register of AVX-512, two of AVX2.
// A matrix product's result is held in registers, so many rows and vectors of them at a time. The vector is a register's:
// wider ones, and what is held of them, would go by way of the stack.
typedef float TileVector __attribute__((vector_size(RM_REGISTER_BYTES)));
constexpr int kTileRows = 6, kTileVectors = RM_REGISTER_BYTES == 64 ? 4 : 2;
constexpr int64_t kTileLanes = sizeof(TileVector) / sizeof(float);
RM_INLINE TileVector loadTile(const float* p) { TileVector v; std::memcpy(&v, p, sizeof v); return v; }
RM_INLINE void storeTile(float* p, TileVector v) { std::memcpy(p, &v, sizeof v); }

RM_INLINE V all(float x) { return V{} + x; }
RM_INLINE V load(const float* p) { V v; std::memcpy(&v, p, sizeof v); return v; }
RM_INLINE void store(float* p, V v) { std::memcpy(p, &v, sizeof v); }
// The first n lanes; the others are 0, or are left alone.
RM_INLINE V load(const float* p, int64_t n) {
  if (n >= kLanes) return load(p);
  V v{};
  std::memcpy(&v, p, n * sizeof(float));
  return v;
}
RM_INLINE void store(float* p, V v, int64_t n) {
  if (n >= kLanes) store(p, v);
  else std::memcpy(p, &v, n * sizeof(float));
}
RM_INLINE V firstLanes(V v, int64_t n) {
  if (n >= kLanes) return v;
  const I lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  return lane < (int32_t)n ? v : V{};
}
RM_INLINE V larger(V a, V b) { return a > b ? a : b; }

// Lanes are added in one order, whatever the instruction set.
RM_INLINE float sum(V v) {
  const U by8 = {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7}, by4 = {4, 5, 6, 7, 0, 1, 2, 3};
  const U by2 = {2, 3, 0, 1}, by1 = {1, 0};
  v = v + __builtin_shuffle(v, by8);
  v = v + __builtin_shuffle(v, by4);
  v = v + __builtin_shuffle(v, by2);
  return (v + __builtin_shuffle(v, by1))[0];
}
RM_INLINE float largest(V v) {
  const U by8 = {8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7}, by4 = {4, 5, 6, 7, 0, 1, 2, 3};
  const U by2 = {2, 3, 0, 1}, by1 = {1, 0};
  v = larger(v, __builtin_shuffle(v, by8));
  v = larger(v, __builtin_shuffle(v, by4));
  v = larger(v, __builtin_shuffle(v, by2));
  return larger(v, __builtin_shuffle(v, by1))[0];
}

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

