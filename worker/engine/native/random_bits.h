// The random halves of dropout: the words of TensorFlow's StatelessRandomUniformFullInt for a key (Philox 4×32-10,
// Salmon et al. 2011), each taken as two signed numbers of 16 bits. Element e of a site's tensor is decided by number e.
// Both halves of 32-bit products, lane by lane.
RM_INLINE void multiply(U a, uint32_t b, U* high, U* low) {
  const L low32 = L{} + 0xffffffffull;
#if RM_REGISTER_BYTES == 64
  const __m512i factor = _mm512_set1_epi64(b);
  const L even = (L)_mm512_mul_epu32((__m512i)a, factor), odd = (L)_mm512_mul_epu32((__m512i)((L)a >> 32), factor);
#else
  const L even = ((L)a & low32) * (uint64_t)b, odd = ((L)a >> 32) * (uint64_t)b;
#endif
  *low = (U)((even & low32) | (odd << 32));
  *high = (U)((even >> 32) | (odd & ~low32));
}

RM_INLINE void philox(U c[4], uint32_t k0, uint32_t k1) {
  for (int round = 0; round < 10; round++) {
    U high0, low0, high1, low1;
    multiply(c[0], 0xD2511F53u, &high0, &low0);
    multiply(c[2], 0xCD9E8D57u, &high1, &low1);
    const U r0 = high1 ^ c[1] ^ k0, r2 = high0 ^ c[3] ^ k1;
    c[0] = r0; c[1] = low1; c[2] = r2; c[3] = low0;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

// What TensorFlow makes of the two int32 seeds of a stateless op.
RM_INLINE RandomKey randomKeyOf(const int32_t* seed) {
  const uint64_t s0 = (uint64_t)(int64_t)seed[0], s1 = (uint64_t)(int64_t)seed[1];
  U c[4] = {U{} + (uint32_t)s0, U{} + (uint32_t)(s0 >> 32), U{} + (uint32_t)s1, U{} + (uint32_t)(s1 >> 32)};
  philox(c, 0x3ec8f720u, 0x02461e29u);
  return {{c[0][0], c[1][0]}, {c[2][0], c[3][0]}};
}

// Numbers first to first + kNumbers of a key; `first` is a multiple of 8.
RM_INLINE void randomNumbers(const RandomKey& key, int64_t first, int16_t* out) {
  const U lane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  U c[4] = {lane + (uint32_t)(first / 8), U{}, U{} + key.counter[0], U{} + key.counter[1]};
  philox(c, key.key[0], key.key[1]);
  // Words 4c + k lie in lane c of vector k.
  const U lo = {0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23};
  const U hi = {8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31};
  const U pairLo = {0, 1, 16, 17, 2, 3, 18, 19, 4, 5, 20, 21, 6, 7, 22, 23};
  const U pairHi = {8, 9, 24, 25, 10, 11, 26, 27, 12, 13, 28, 29, 14, 15, 30, 31};
  const U a = __builtin_shuffle(c[0], c[1], lo), b = __builtin_shuffle(c[2], c[3], lo);
  const U d = __builtin_shuffle(c[0], c[1], hi), e = __builtin_shuffle(c[2], c[3], hi);
  const U words[4] = {__builtin_shuffle(a, b, pairLo), __builtin_shuffle(a, b, pairHi),
                      __builtin_shuffle(d, e, pairLo), __builtin_shuffle(d, e, pairHi)};
  std::memcpy(out, words, sizeof words);
}


RM_INLINE Dropout dropoutOf(const int32_t* seed, float rate) {
  if (rate == 0) return {false, -32768, 1.f, {}};
  const int32_t dropped = (int32_t)__builtin_lrint((double)rate * 65536);
  const int32_t most = 65535;
  return {true, (dropped < most ? dropped : most) - 32768, (float)(1 / (1 - (double)rate)), randomKeyOf(seed)};
}

// Factors (0 or scale) of the elements first to first + count, into out, which has room for kLanes more;
// numbers has room for two times kNumbers more.
RM_INLINE void dropoutFactors(const Dropout& dropout, int64_t first, int64_t count, float* out, int16_t* numbers) {
  const int64_t skip = first % 8;
  for (int64_t at = 0; at < skip + count; at += kNumbers) randomNumbers(dropout.key, first - skip + at, numbers + at);
  const int16_t* own = numbers + skip;
  for (int64_t i = 0; i < count; i += kLanes) {
    H halves;
    std::memcpy(&halves, own + i, sizeof halves);
    store(out + i, __builtin_convertvector(halves, I) >= dropout.threshold ? all(dropout.scale) : V{});
  }
}

