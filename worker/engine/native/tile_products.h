// Products of pairs of bfloat16 where the processor multiplies whole tiles (AMX): TDPBF16PS adds up a tile of 16 × 16 floats over
// 16 pairs. Each element is one sum in the order of the depth; oneDNN divides deep sums of small results over its threads, so
// that their number would decide bits.
constexpr int64_t kTile = 16;

// The form of all eight tiles, while it is in scope.
struct TileScope {
  TileScope() {
    struct {
      uint8_t palette = 1, start = 0, reserved[14] = {};
      uint16_t lineBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
      uint8_t lines[16] = {16, 16, 16, 16, 16, 16, 16, 16};
    } form;
    asm volatile("" ::"r"(&form) : "memory");
    _tile_loadconfig(&form);
  }
  ~TileScope() {
    _tile_release();
    _mm_sfence();
  }
  TileScope(const TileScope&) = delete;
};

// Of a large result that is not read again soon: past the caches, where whole lines are written, so that they are not read before.
// What follows a scope sees it.
RM_INLINE void putPast(const Result& to, int64_t at, V v, int64_t n) {
  const bool whole = n >= kLanes;
  if (to.narrow != nullptr && whole && (uintptr_t)(to.narrow + at) % 32 == 0)
    _mm256_stream_si256((__m256i*)(to.narrow + at), (__m256i)_mm512_cvtneps_pbh((__m512)v));
  else if (to.narrow == nullptr && whole && (uintptr_t)(to.wide + at) % 64 == 0) _mm512_stream_ps(to.wide + at, (__m512)v);
  else put(to, at, v, n);
}

// What is put past the caches is not read into them.
RM_INLINE void fetchPast(const Result&, int64_t, int64_t) {}

// Tiles of an operand: words from one line of a tile to the next, from a tile to the next one of the depth, and to the
// next one of another row of a, or column of b.
struct TileOperand {
  const uint32_t* data;
  int64_t line, step, next;
};

// Where a tile of c lies, and floats from one of its lines to the next.
struct TileTarget {
  float* data;
  int64_t line;
};

// A block of memory in lines far apart, where the processor does not guess what comes next.
struct Lines {
  const float* data;
  int64_t apart, count, floats;
};

// Asks for lines `first` … `end` of a block, to be read or written.
template <int write>
RM_INLINE void fetch(const Lines& lines, int64_t first, int64_t end) {
  for (int64_t i = first; i < std::min(end, lines.count); i++)
    for (int64_t j = 0; j < lines.floats; j += 16) __builtin_prefetch(lines.data + i * lines.apart + j, write);
}

#define RM_OPEN_TILE(TILE, TARGET)                                                   \
  if (adds) _tile_loadd(TILE, (TARGET).data, (TARGET).line * (int64_t)sizeof(float)); \
  else _tile_zero(TILE);
#define RM_CLOSE_TILE(TILE, TARGET) _tile_stored(TILE, (TARGET).data, (TARGET).line * (int64_t)sizeof(float));

// Up to 2 × 2 tiles of c over `depth` tiles: 0 … 3 are c's, 4 and 5 a's, 6 and 7 b's.
// @param next what is written to next
template <bool twoRows, bool twoColumns>
RM_INLINE void multiplyTiles(const TileOperand& a, const TileOperand& b, int64_t depth, const TileTarget (&c)[2][2], bool adds,
                             const Lines& next) {
  const int64_t fetched = (next.count + depth - 1) / depth;
  const int64_t aLine = a.line * sizeof(uint32_t), bLine = b.line * sizeof(uint32_t);
  const uint32_t *left = a.data, *right = b.data;
  // The compiler does not know that loads of tiles read memory.
  asm volatile("" ::: "memory");
  RM_OPEN_TILE(0, c[0][0])
  if (twoColumns) { RM_OPEN_TILE(1, c[0][1]) }
  if (twoRows) { RM_OPEN_TILE(2, c[1][0]) }
  if (twoRows && twoColumns) { RM_OPEN_TILE(3, c[1][1]) }
  for (int64_t k = 0; k < depth; k++, left += a.step, right += b.step) {
    fetch<1>(next, k * fetched, (k + 1) * fetched);
    _tile_loadd(6, right, bLine);
    _tile_loadd(4, left, aLine);
    _tile_dpbf16ps(0, 4, 6);
    if (twoRows) {
      _tile_loadd(5, left + a.next, aLine);
      _tile_dpbf16ps(2, 5, 6);
    }
    if (twoColumns) {
      _tile_loadd(7, right + b.next, bLine);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (twoRows && twoColumns) _tile_dpbf16ps(3, 5, 7);
  }
  RM_CLOSE_TILE(0, c[0][0])
  if (twoColumns) { RM_CLOSE_TILE(1, c[0][1]) }
  if (twoRows) { RM_CLOSE_TILE(2, c[1][0]) }
  if (twoRows && twoColumns) { RM_CLOSE_TILE(3, c[1][1]) }
}
#undef RM_OPEN_TILE
#undef RM_CLOSE_TILE

RM_INLINE void multiplyTiles(const TileOperand& a, const TileOperand& b, int64_t depth, const TileTarget (&c)[2][2], bool adds,
                             bool twoRows, bool twoColumns, const Lines& next) {
  if (twoRows && twoColumns) multiplyTiles<true, true>(a, b, depth, c, adds, next);
  else if (twoRows) multiplyTiles<true, false>(a, b, depth, c, adds, next);
  else if (twoColumns) multiplyTiles<false, true>(a, b, depth, c, adds, next);
  else multiplyTiles<false, false>(a, b, depth, c, adds, next);
}

// c (+)= a · b of pairs: a row by row, b line by line of two rows. All have room for whole tiles, and `columns` and `pairs` are whole
// tiles; what a has beyond its rows goes to what lies beyond c's.
RM_INLINE void multiplyPairs(const uint32_t* a, int64_t aRow, const uint32_t* b, int64_t bRow, float* c, int64_t cRow, int64_t rows,
                             int64_t columns, int64_t pairs, bool adds) {
  for (int64_t i = 0; i < rows; i += 2 * kTile)
    for (int64_t j = 0; j < columns; j += 2 * kTile) {
      float* corner = c + i * cRow + j;
      const TileTarget targets[2][2] = {{{corner, cRow}, {corner + kTile, cRow}},
                                        {{corner + kTile * cRow, cRow}, {corner + kTile * cRow + kTile, cRow}}};
      multiplyTiles({a + i * aRow, aRow, kTile, kTile * aRow}, {b + j, bRow, kTile * bRow, kTile}, pairs / kTile, targets, adds,
                    rows - i > kTile, columns - j > kTile, Lines{});
    }
}
