// Matrix products of floats rounded to bfloat16, tile by tile. Operands are packed in tiles, [16 rows][16 pairs] of a and
// [16 pairs][16 columns] of b, those of a row or column of tiles in the order of the depth, with zeros at the end.
constexpr int64_t kTileWords = kTile * kTile;
static_assert(kProductUnit % (2 * kTile) == 0 && kNarrowRows % kTile == 0, "units and groups are whole tiles");

// Tiles of the depth whose part of a thread's operands stays in a core's second cache.
constexpr int64_t kTilesHeld = 48;

// Operands are read in the order in which they lie in memory, or in as few runs as can be: the processor then fetches them itself.

// Lines of memory that are asked for before they are packed.
constexpr int64_t kLinesAhead = 8;

template <class Element>
RM_INLINE void packColumnsOf(const NarrowProductJob& job, const Element* b, int64_t first, int64_t end) {
  const ProductJob& product = job.product;
  const int64_t endColumn = end * kProductUnit, held = job.heldPairs();
  if (product.turnedB) {
    for (int64_t j = first * kProductUnit; j < endColumn; j += kTile)
      for (int64_t k = 0; k < product.depth; k += 2 * kTile) {
        uint32_t* to = job.right + j * held + k / 2 * kTile;
        const int64_t depth = std::min(2 * kTile, product.depth - k);
        if (depth < 2 * kTile) std::memset(to, 0, kTileWords * sizeof *to);
        packTurned<false>(std::max<int64_t>(0, product.columns - j), depth, to, kTile, [&](int64_t column) {
          const Element* line = b + (j + column) * product.depth + k;
          __builtin_prefetch(line + kLinesAhead * kTile);
          return line;
        });
      }
    return;
  }
  for (int64_t pair = 0; pair < held; pair++) {
    const bool one = 2 * pair < product.depth, other = 2 * pair + 1 < product.depth;
    const Element* from = b + 2 * pair * product.columns;
    for (int64_t j = first * kProductUnit; j < endColumn; j += kTile) {
      const int64_t columns = product.columns - j;
      const U words = one ? pairsAt(from + j, other ? from + product.columns + j : nullptr, columns) : U{};
      __builtin_prefetch(from + kLinesAhead * product.columns + j);
      __builtin_prefetch(from + (kLinesAhead + 1) * product.columns + j);
      std::memcpy(job.right + j * held + pair * kTile, &words, sizeof words);
    }
  }
}

// Units `first` … `end` of kProductUnit columns of b.
static void packNarrowColumns(const NarrowProductJob& job, int64_t first, int64_t end) {
  if (job.product.narrowB == nullptr) packColumnsOf(job, job.product.b, first, end);
  else packColumnsOf(job, job.product.narrowB, first, end);
}

template <class Element>
RM_INLINE void packRowsOf(const NarrowProductJob& job, const Element* a, int64_t first, int64_t end) {
  const ProductJob& product = job.product;
  const int64_t endRow = end * kNarrowRows, held = job.heldPairs();
  if (product.turnedA) {
    for (int64_t k = 0; k < product.depth; k += 2 * kTile)
      for (int64_t i = first * kNarrowRows; i < endRow; i += kTile) {
        const int64_t depth = std::min(2 * kTile, product.depth - k), rows = product.rows - i;
        const Element* from = a + k * product.rows + i;
        U words[kTile] = {};
        for (int64_t p = 0; 2 * p < depth; p++, from += 2 * product.rows) {
          __builtin_prefetch(from + 2 * kTile * product.rows);
          __builtin_prefetch(from + (2 * kTile + 1) * product.rows);
          words[p] = pairsAt(from, 2 * p + 1 < depth ? from + product.rows : nullptr, rows);
        }
        turnWords(words);
        std::memcpy(job.left + i * held + k / 2 * kTile, words, sizeof words);
      }
    return;
  }
  for (int64_t i = first * kNarrowRows; i < endRow; i++) {
    uint32_t* to = job.left + i / kTile * kTile * held + i % kTile * kTile;
    for (int64_t k = 0; k < product.depth; k += 2 * kTile, to += kTileWords) {
      __builtin_prefetch(a + i * product.depth + k + kLinesAhead * kTile * 4);
      __builtin_prefetch(a + i * product.depth + k + kLinesAhead * kTile * 4 + kTile);
      const U words = i < product.rows ? packedWords(a + i * product.depth + k, product.depth - k) : U{};
      std::memcpy(to, &words, sizeof words);
    }
  }
}

// Groups `first` … `end` of kNarrowRows rows of a.
static void packNarrowRows(const NarrowProductJob& job, int64_t first, int64_t end) {
  if (job.product.narrowA == nullptr) packRowsOf(job, job.product.a, first, end);
  else packRowsOf(job, job.product.narrowA, first, end);
}

// Tiles of a from a row and a tile of the depth on: as they were packed, or where a lies.
RM_INLINE TileOperand tilesOfRows(const NarrowProductJob& job, int64_t row, int64_t tile) {
  const int64_t line = job.pairs();
  if (job.readsRows(true)) return {reinterpret_cast<const uint32_t*>(job.product.narrowA) + row * line + tile * kTile, line, kTile, kTile * line};
  return {job.left + row * job.heldPairs() + tile * kTileWords, kTile, kTileWords, job.heldPairs() * kTile};
}

// Where a tile of c is added up: in c itself; or aside where it reaches beyond c, or is not to pass through the caches.
struct TileAside {
  float* c;
  int64_t rows, columns;
  alignas(64) float held[kTileWords];

  TileTarget open(float* corner, int64_t cRow, int64_t rowsLeft, int64_t columnsLeft, bool adds, bool streams) {
    c = corner, rows = std::min(kTile, rowsLeft), columns = std::min(kTile, columnsLeft);
    if (rows == kTile && columns == kTile && !streams) {
      rows = 0;
      return {c, cRow};
    }
    if (adds)
      for (int64_t i = 0; i < rows; i++) std::memcpy(held + i * kTile, c + i * cRow, columns * sizeof(float));
    return {held, kTile};
  }
  void close(int64_t cRow, bool streams) const {
    if (streams && columns == kTile)
      for (int64_t i = 0; i < rows; i++) _mm512_stream_ps(c + i * cRow, _mm512_load_ps(held + i * kTile));
    else
      for (int64_t i = 0; i < rows; i++) std::memcpy(c + i * cRow, held + i * kTile, columns * sizeof(float));
  }
};

// Whether a result is written past the caches: a large one would push out of them what is multiplied, and each of its lines would
// be read before it is written. One that is added to is read again.
RM_INLINE bool streamsResult(const NarrowProductJob& job) {
  const ProductJob& product = job.product;
  const bool isLarge = product.rows * product.columns * sizeof(float) >= 1 << 20;
  return isLarge && job.heldPairs() <= kTilesHeld * kTile && product.columns % kTile == 0 && (uintptr_t)product.c % 64 == 0;
}

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b, from packed operands. The part begins with a tile.
static void multiplyNarrowPart(const NarrowProductJob& job, const ProductPart& part) {
  const ProductJob& product = job.product;
  const int64_t apart = job.heldPairs() * kTile, tiles = job.heldPairs() / kTile;
  const bool streams = streamsResult(job);
  const TileScope scope;
  TileAside asides[2][2];
  TileTarget targets[2][2];
  for (int64_t k = 0; k < tiles; k += kTilesHeld)
    for (int64_t i = part.firstRow; i < part.endRow; i += 2 * kTile)
      for (int64_t j = part.firstColumn; j < part.endColumn; j += 2 * kTile) {
        const bool twoRows = part.endRow - i > kTile, twoColumns = part.endColumn - j > kTile;
        for (int64_t r = 0; r <= twoRows; r++)
          for (int64_t s = 0; s <= twoColumns; s++)
            targets[r][s] = asides[r][s].open(product.c + (i + r * kTile) * product.columns + j + s * kTile, product.columns,
                                              part.endRow - i - r * kTile, part.endColumn - j - s * kTile, k > 0, streams);
        // The next part of c to the right, or the first one of the rows below.
        const bool right = j + 2 * kTile < part.endColumn;
        const int64_t row = right ? i : i + 2 * kTile, column = right ? j + 2 * kTile : part.firstColumn;
        const Lines next = {product.c + row * product.columns + column, product.columns,
                            k > 0 || streams ? 0 : std::min(2 * kTile, part.endRow - row),
                            std::min(2 * kTile, part.endColumn - column)};
        multiplyTiles(tilesOfRows(job, i, k),
                      {job.right + j * job.heldPairs() + k * kTileWords, kTile, kTileWords, apart}, std::min(kTilesHeld, tiles - k),
                      targets, k > 0, twoRows, twoColumns, next);
        for (int64_t r = 0; r <= twoRows; r++)
          for (int64_t s = 0; s <= twoColumns; s++) asides[r][s].close(product.columns, streams);
      }
}
