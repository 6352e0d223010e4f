// The random halves of dropout: the words of TensorFlow's StatelessRandomUniformFullInt for a key (Philox 4×32-10,
// Salmon et al. 2011), each taken as two signed numbers of 16 bits. Element e of a site's tensor is decided by number e.
// Both halves of 32-bit products, lane by lane.
RM_INLINE void multiply(U a, uint32_t b, U* high, U* low) {
  const L low32 = L{} + 0xffffffffull, right = (L)a >> 32;
#if RM_REGISTER_BYTES == 64
  const __m512i factor = _mm512_set1_epi64(b);
  const L even = (L)_mm512_mul_epu32((__m512i)a, factor), odd = (L)_mm512_mul_epu32((__m512i)right, factor);
#elif RM_REGISTER_BYTES == 32
  const __m256i factor = _mm256_set1_epi64x(b);
  const L even = (L)_mm256_mul_epu32((__m256i)a, factor), odd = (L)_mm256_mul_epu32((__m256i)right, factor);
#else
  const L even = ((L)a & low32) * (uint64_t)b, odd = right * (uint64_t)b;
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

// What sorts the words by counter: words of two vectors taken in turn, then pairs of them, within quarters of a register of
// AVX-512 and halves of one of AVX2, so that no word crosses them; hence the order of the counters.
#if RM_REGISTER_BYTES == 64
#define RM_COUNTERS 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15
#define RM_WORDS_LOW 0, 16, 1, 17, 4, 20, 5, 21, 8, 24, 9, 25, 12, 28, 13, 29
#define RM_WORDS_HIGH 2, 18, 3, 19, 6, 22, 7, 23, 10, 26, 11, 27, 14, 30, 15, 31
#define RM_PAIRS_LOW 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29
#define RM_PAIRS_HIGH 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31
#elif RM_REGISTER_BYTES == 32
#define RM_COUNTERS 0, 2, 4, 6, 1, 3, 5, 7
#define RM_WORDS_LOW 0, 8, 1, 9, 4, 12, 5, 13
#define RM_WORDS_HIGH 2, 10, 3, 11, 6, 14, 7, 15
#define RM_PAIRS_LOW 0, 1, 8, 9, 4, 5, 12, 13
#define RM_PAIRS_HIGH 2, 3, 10, 11, 6, 7, 14, 15
#else
#define RM_COUNTERS 0, 1, 2, 3
#define RM_WORDS_LOW 0, 4, 1, 5
#define RM_WORDS_HIGH 2, 6, 3, 7
#define RM_PAIRS_LOW 0, 1, 4, 5
#define RM_PAIRS_HIGH 2, 3, 6, 7
#endif

// Numbers made at a time: a counter a lane, four words each.
constexpr int64_t kDrawn = kLanes * 8;

// Numbers first to first + kDrawn of a key; `first` is a multiple of 8.
RM_INLINE void randomNumbers(const RandomKey& key, int64_t first, int16_t* out) {
  U c[4] = {U{RM_COUNTERS} + (uint32_t)(first / 8), U{}, U{} + key.counter[0], U{} + key.counter[1]};
  philox(c, key.key[0], key.key[1]);
  const U wordsLow = {RM_WORDS_LOW}, wordsHigh = {RM_WORDS_HIGH}, pairsLow = {RM_PAIRS_LOW}, pairsHigh = {RM_PAIRS_HIGH};
  const U a = __builtin_shuffle(c[0], c[1], wordsLow), b = __builtin_shuffle(c[2], c[3], wordsLow);
  const U d = __builtin_shuffle(c[0], c[1], wordsHigh), e = __builtin_shuffle(c[2], c[3], wordsHigh);
  const U words[4] = {__builtin_shuffle(a, b, pairsLow), __builtin_shuffle(a, b, pairsHigh),
                      __builtin_shuffle(d, e, pairsLow), __builtin_shuffle(d, e, pairsHigh)};
  std::memcpy(out, words, sizeof words);
}
#undef RM_COUNTERS
#undef RM_WORDS_LOW
#undef RM_WORDS_HIGH
#undef RM_PAIRS_LOW
#undef RM_PAIRS_HIGH

RM_INLINE Dropout dropoutOf(const int32_t* seed, float rate) {
  if (rate == 0) return {false, -32768, 1.f, {}};
  const int32_t dropped = (int32_t)__builtin_lrint((double)rate * 65536);
  const int32_t most = 65535;
  return {true, (dropped < most ? dropped : most) - 32768, (float)(1 / (1 - (double)rate)), randomKeyOf(seed)};
}

// Factors (0 or scale) of the elements first to first + count, into out, which has room for kMostLanes more;
// numbers has room for two times kNumbers more.
RM_INLINE void dropoutFactors(const Dropout& dropout, int64_t first, int64_t count, float* out, int16_t* numbers) {
  const int64_t skip = first % 8;
  for (int64_t at = 0; at < skip + count; at += kDrawn) randomNumbers(dropout.key, first - skip + at, numbers + at);
  const int16_t* own = numbers + skip;
  for (int64_t i = 0; i < count; i += kLanes) {
    H halves;
    std::memcpy(&halves, own + i, sizeof halves);
    store(out + i, __builtin_convertvector(halves, I) >= dropout.threshold ? all(dropout.scale) : V{});
  }
}

