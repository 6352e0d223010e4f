// Pairs of bfloat16, whose products are added up in float32. A word holds two bfloat16 of neighbouring depths, the first
// one in its lower half, as VDPBF16PS takes them; where the processor does not have it, the same sums are made by two
// multiplications, which are exact.
#ifdef RM_BFLOAT16
RM_INLINE U pairsOf(V first, V second) {
  typedef uint16_t W __attribute__((vector_size(64)));
  const W both = (W)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  return (U)__builtin_shuffle(both, W{0, 16, 1, 17, 2,  18, 3,  19, 4,  20, 5,  21, 6,  22, 7,  23,
                                      8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31});
}
RM_INLINE V addPairs(V sum, U left, U right) {
  return (V)_mm512_dpbf16_ps((__m512)sum, (__m512bh)left, (__m512bh)right);
}
#else
// To the nearest, ties to even; what is not a number stays none.
RM_INLINE U rounded(V v) {
  const U bits = (U)v;
  return v == v ? bits + 0x7fff + (bits >> 16 & 1) : bits | 0x400000;
}
RM_INLINE U pairsOf(V first, V second) { return rounded(first) >> 16 | (rounded(second) & 0xffff0000); }
RM_INLINE V addPairs(V sum, U left, U right) {
  sum += (V)(left & 0xffff0000) * (V)(right & 0xffff0000);
  return sum + (V)(left << 16) * (V)(right << 16);
}
#endif

// As many bfloat16 as a register has words; those beyond n are 0.
typedef uint16_t Halves __attribute__((vector_size(RM_REGISTER_BYTES / 2)));
RM_INLINE U widened(const uint16_t* from, int64_t n) {
  Halves halves{};
  if (n >= kLanes) std::memcpy(&halves, from, sizeof halves);
  else if (n > 0) std::memcpy(&halves, from, n * sizeof *from);
  return __builtin_convertvector(halves, U);
}

// Rounded as operands are when they are packed; of the last register n elements.
RM_INLINE void storeNarrow(uint16_t* to, V v, int64_t n) {
#ifdef RM_BFLOAT16
  const __m256bh halves = _mm512_cvtneps_pbh((__m512)v);
#else
  const Halves halves = __builtin_convertvector(rounded(v) >> 16, Halves);
#endif
  if (n >= kLanes) std::memcpy(to, &halves, sizeof halves);
  else if (n > 0) std::memcpy(to, &halves, n * sizeof *to);
}

// Puts a register at element `at` of a result; of the last one n elements.
RM_INLINE void put(const Result& to, int64_t at, V v, int64_t n) {
  if (to.narrow == nullptr) store(to.wide + at, v, n);
  else storeNarrow(to.narrow + at, v, n);
}

// The pairs that a line's elements make with those of the next; what has no next one makes them with 0.
RM_INLINE U pairsAt(const float* first, const float* second, int64_t n) {
  return pairsOf(load(first, n), second == nullptr ? V{} : load(second, n));
}
RM_INLINE U pairsAt(const uint16_t* first, const uint16_t* second, int64_t n) {
  return widened(first, n) | (second == nullptr ? U{} : widened(second, n) << 16);
}

// What is multiplied in pairs is padded with zeros, to whole registers or to the depth of a tile.
RM_INLINE int64_t heldWidth(int64_t n) {
#ifdef RM_TILES
  return tilePadded(n);
#else
  return padded(n);
#endif
}

RM_INLINE V addProduct(V sum, uint32_t left, U right) { return addPairs(sum, U{} + left, right); }
RM_INLINE U loadRegister(const uint32_t* p) { U u; std::memcpy(&u, p, sizeof u); return u; }

// The pairs of as many floats as two registers hold; those beyond `count` are 0.
RM_INLINE U packedWords(const float* from, int64_t count) {
#ifdef RM_BFLOAT16
  return (U)_mm512_cvtne2ps_pbh((__m512)load(from + kLanes, count - kLanes), (__m512)load(from, count));
#else
  float even[kLanes] = {}, odd[kLanes] = {};
  for (int64_t i = 0; i < std::min(2 * kLanes, count); i++) (i % 2 == 0 ? even : odd)[i / 2] = from[i];
  return pairsOf(load(even), load(odd));
#endif
}

// The same of what is bfloat16 already.
RM_INLINE U packedWords(const uint16_t* from, int64_t count) {
  U words{};
  if (count >= 2 * kLanes) std::memcpy(&words, from, sizeof words);
  else if (count > 0) std::memcpy(&words, from, count * sizeof *from);
  return words;
}

// One line's pairs, of `count` elements. Whole registers are written.
template <class Element>
RM_INLINE void packLine(const Element* from, int64_t count, uint32_t* to) {
  for (int64_t k = 0; k < count; k += 2 * kLanes) {
    const U words = packedWords(from + k, count - k);
    std::memcpy(to + k / 2, &words, sizeof words);
  }
}

// Lines of `width` elements, `row` apart, two and two: to [depth ÷ 2][stride]. What is beyond the last line, or a line's end, is 0.
template <class Element>
RM_INLINE void packAcross(const Element* from, int64_t row, int64_t depth, int64_t width, uint32_t* to, int64_t stride) {
  for (int64_t k = 0; k < depth; k += 2)
    for (int64_t j = 0; j < stride; j += kLanes) {
      const Element* line = from + k * row + j;
      const U pairs = pairsAt(line, k + 1 < depth ? line + row : nullptr, width - j);
      std::memcpy(to + k / 2 * stride + j, &pairs, sizeof pairs);
    }
}

// Of each two lines `Step` apart, blocks of `Step` words change places.
template <int64_t Step>
RM_INLINE void exchangeWords(U (&lines)[kLanes]) {
  U low{}, high{};
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes; i++) {
    const bool second = (i & Step) != 0;
    low[i] = second ? kLanes + i - Step : i;
    high[i] = second ? kLanes + i : i + Step;
  }
#pragma GCC unroll 16
  for (int64_t i = 0; i < kLanes; i++) {
    if ((i & Step) != 0) continue;
    const U a = lines[i], b = lines[i + Step];
    lines[i] = __builtin_shuffle(a, b, low);
    lines[i + Step] = __builtin_shuffle(a, b, high);
  }
}

// Lines of as many words as a register has, and as many lines of them: rows become columns.
RM_INLINE void turnWords(U (&lines)[kLanes]) {
  exchangeWords<1>(lines);
  exchangeWords<2>(lines);
  if constexpr (kLanes > 4) exchangeWords<4>(lines);
  if constexpr (kLanes > 8) exchangeWords<8>(lines);
}

// Turns a block of lines, at most as many as a register has words. A whole one stays in registers; another is filled up with zeros.
// @param lineAt words of one line
// @param put takes the words of one column
template <class LineAt, class Put>
RM_INLINE void turnBlock(int64_t lines, int64_t columns, const LineAt& lineAt, const Put& put) {
  if (lines >= kLanes && columns >= kLanes) {
    U words[kLanes];
#pragma GCC unroll 16
    for (int64_t r = 0; r < kLanes; r++) words[r] = lineAt(r);
    turnWords(words);
#pragma GCC unroll 16
    for (int64_t r = 0; r < kLanes; r++) put(r, words[r]);
    return;
  }
  U words[kLanes] = {};
  for (int64_t r = 0; r < std::min(kLanes, lines); r++) words[r] = lineAt(r);
  turnWords(words);
  for (int64_t r = 0; r < std::min(kLanes, columns); r++) put(r, words[r]);
}

// How many bytes ahead lines in memory are asked for while they are turned: the processor does not guess so many at a time.
constexpr int64_t kTurnAhead = 256;

// Asks for what is to be read a little after element `at` of line r: behind it, or where the line ends in the next block of lines.
template <class LineOf>
RM_INLINE void fetchLine(const LineOf& lineOf, int64_t r, int64_t at, int64_t width) {
  const int64_t ahead = at + kTurnAhead / (int64_t)sizeof *lineOf(r);
  __builtin_prefetch(ahead < width ? lineOf(r) + ahead : lineOf(r + kLanes) + (ahead - width));
}

// Lines of `width` elements, packed in pairs, with rows as columns: to [width ÷ 2][stride]. Lines beyond the last are 0.
// @tparam Far whether lines come from memory and not from a core's own cache
template <bool Far, class LineOf>
RM_INLINE void packTurned(int64_t lines, int64_t width, uint32_t* to, int64_t stride, const LineOf& lineOf) {
  constexpr int64_t ofLine = 64 / sizeof *lineOf(0);
  const int64_t pairs = (width + 1) / 2;
  for (int64_t j = 0; j < stride; j += kLanes)
    for (int64_t k = 0; k < pairs; k += kLanes)
      turnBlock(
          lines - j, pairs - k,
          [&](int64_t r) {
            if constexpr (Far)
              for (int64_t i = 2 * k; i < 2 * (k + kLanes); i += ofLine) fetchLine(lineOf, j + r, i, width);
            return packedWords(lineOf(j + r) + 2 * k, width - 2 * k);
          },
          [&](int64_t r, U words) { std::memcpy(to + (k + r) * stride + j, &words, sizeof words); });
}

// Rows of floats become columns: of [rows][fromRow] to [columns][toRow]. @tparam Far as above
template <bool Far>
RM_INLINE void turn(const float* from, int64_t fromRow, int64_t rows, int64_t columns, float* to, int64_t toRow) {
  const auto lineOf = [&](int64_t row) { return from + row * fromRow; };
  for (int64_t i = 0; i < rows; i += kLanes)
    for (int64_t j = 0; j < columns; j += kLanes)
      turnBlock(
          rows - i, columns - j,
          [&](int64_t r) {
            if constexpr (Far) fetchLine(lineOf, i + r, j, columns);
            return (U)load(lineOf(i + r) + j, columns - j);
          },
          [&](int64_t r, U words) { store(to + (j + r) * toRow + i, (V)words, rows - i); });
}

// Lines of `width` floats, `row` apart, two and two, and rows as columns: to [width'][toRow], a word to two lines. `width` is whole
// registers; lines beyond the last are 0.
RM_INLINE void packTurnedLines(const float* from, int64_t row, int64_t lines, int64_t width, uint32_t* to, int64_t toRow) {
  for (int64_t p = 0; 2 * p < lines; p += kLanes)
    for (int64_t j = 0; j < width; j += kLanes)
      turnBlock(
          (lines + 1) / 2 - p, kLanes,
          [&](int64_t r) {
            const float* line = from + 2 * (p + r) * row + j;
            return pairsOf(load(line), 2 * (p + r) + 1 < lines ? load(line + row) : V{});
          },
          [&](int64_t r, U words) { std::memcpy(to + (j + r) * toRow + p, &words, sizeof words); });
}
