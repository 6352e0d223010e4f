// Products of floats rounded to bfloat16 where the processor multiplies whole tiles (AMX): TDPBF16PS adds up a tile of 16 × 16 over
// 32 depths. Each element is one sum in the order of the depth, as in narrow_product_loops.h; oneDNN divides deep sums of
// small results over its threads, so that their number would decide bits.
// Operands are packed tile by tile, [16 rows][16 pairs] of a and [16 pairs][16 columns] of b, the tiles of a row or column of
// tiles in the order of the depth, with zeros at the end.
constexpr int64_t kTile = 16, kTileWords = kTile * kTile;
static_assert(kNarrowUnit % (2 * kTile) == 0 && kNarrowRows % kTile == 0, "units and groups are whole tiles");

// Tiles of the depth whose part of two rows of tiles stays in a core's first cache.
constexpr int64_t kTilesHeld = 16;

// Units `first` … `end` of kNarrowUnit columns of b; of each, as many of its depths at a time as a tile has.
static void packNarrowColumns(const NarrowProductJob& job, int64_t first, int64_t end) {
  const ProductJob& product = job.product;
  for (int64_t unit = first * kNarrowUnit; unit < end * kNarrowUnit; unit += kNarrowUnit)
    for (int64_t k = 0; k < product.depth; k += 2 * kTile) {
      const int64_t depth = std::min(2 * kTile, product.depth - k);
      for (int64_t j = unit; j < unit + kNarrowUnit; j += kTile) {
        uint32_t* to = job.right + j * job.heldPairs() + k / 2 * kTile;
        const int64_t columns = std::max<int64_t>(0, product.columns - j);
        if (depth < 2 * kTile) std::memset(to, 0, kTileWords * sizeof *to);
        if (product.turnedB)
          packTurned(columns, depth, to, kTile, [&](int64_t column) { return product.b + (j + column) * product.depth + k; });
        else packAcross(product.b + k * product.columns + j, product.columns, depth, columns, to, kTile);
      }
    }
}

// Groups `first` … `end` of kNarrowRows rows of a, likewise.
static void packNarrowRows(const NarrowProductJob& job, int64_t first, int64_t end) {
  const ProductJob& product = job.product;
  for (int64_t group = first * kNarrowRows; group < end * kNarrowRows; group += kNarrowRows)
    for (int64_t k = 0; k < product.depth; k += 2 * kTile) {
      const int64_t depth = std::min(2 * kTile, product.depth - k);
      for (int64_t i = group; i < group + kNarrowRows; i += kTile) {
        const int64_t rows = std::max<int64_t>(0, std::min(kTile, product.rows - i));
        U words[kTile] = {};
        if (product.turnedA) {
          const float* from = product.a + k * product.rows + i;
          for (int64_t p = 0; 2 * p < depth; p++, from += 2 * product.rows)
            words[p] = pairsOf(load(from, rows), 2 * p + 1 < depth ? load(from + product.rows, rows) : V{});
          turnWords(words);
        } else
          for (int64_t r = 0; r < rows; r++) words[r] = packedWords(product.a + (i + r) * product.depth + k, depth);
        std::memcpy(job.left + i * job.heldPairs() + k / 2 * kTile, words, sizeof words);
      }
    }
}

// The form of all eight tiles.
struct TileForm {
  uint8_t palette = 1, start = 0, reserved[14] = {};
  uint16_t lineBytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t lines[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

// Where a tile of c is added up: c itself, or memory aside for tiles that reach beyond it.
struct TilePlace {
  float *c, *at;
  int64_t row, rows, columns;
  alignas(64) float aside[kTileWords];

  void open(float* corner, int64_t cRow, int64_t rowsLeft, int64_t columnsLeft, bool adds) {
    c = corner, rows = std::min(kTile, rowsLeft), columns = std::min(kTile, columnsLeft);
    const bool whole = rows == kTile && columns == kTile;
    at = whole ? c : aside, row = whole ? cRow : kTile;
    if (whole || !adds) return;
    for (int64_t i = 0; i < rows; i++) std::memcpy(aside + i * kTile, c + i * cRow, columns * sizeof(float));
  }
  void close(int64_t cRow) const {
    if (at == c) return;
    for (int64_t i = 0; i < rows; i++) std::memcpy(c + i * cRow, aside + i * kTile, columns * sizeof(float));
  }
};

#define RM_OPEN_TILE(TILE, PLACE)                                             \
  if (adds) _tile_loadd(TILE, (PLACE).at, (PLACE).row * sizeof(float));       \
  else _tile_zero(TILE);
#define RM_CLOSE_TILE(TILE, PLACE) _tile_stored(TILE, (PLACE).at, (PLACE).row * sizeof(float));

// Up to 2 × 2 tiles of c over `depth` tiles of the depth: tiles 0 … 3 are c's, 4 and 5 a's, 6 and 7 b's.
// @param held words from one row of tiles to the next, of either operand
template <bool twoRows, bool twoColumns>
RM_INLINE void multiplyTiles(const uint32_t* a, const uint32_t* b, int64_t held, int64_t depth, TilePlace (&places)[2][2],
                             bool adds) {
  constexpr int64_t line = kTile * sizeof(uint32_t);
  // The compiler does not know that loads of tiles read memory.
  asm volatile("" ::: "memory");
  RM_OPEN_TILE(0, places[0][0])
  if (twoColumns) { RM_OPEN_TILE(1, places[0][1]) }
  if (twoRows) { RM_OPEN_TILE(2, places[1][0]) }
  if (twoRows && twoColumns) { RM_OPEN_TILE(3, places[1][1]) }
  for (int64_t k = 0; k < depth; k++, a += kTileWords, b += kTileWords) {
    _tile_loadd(6, b, line);
    _tile_loadd(4, a, line);
    _tile_dpbf16ps(0, 4, 6);
    if (twoRows) {
      _tile_loadd(5, a + held, line);
      _tile_dpbf16ps(2, 5, 6);
    }
    if (twoColumns) {
      _tile_loadd(7, b + held, line);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (twoRows && twoColumns) _tile_dpbf16ps(3, 5, 7);
  }
  RM_CLOSE_TILE(0, places[0][0])
  if (twoColumns) { RM_CLOSE_TILE(1, places[0][1]) }
  if (twoRows) { RM_CLOSE_TILE(2, places[1][0]) }
  if (twoRows && twoColumns) { RM_CLOSE_TILE(3, places[1][1]) }
}
#undef RM_OPEN_TILE
#undef RM_CLOSE_TILE

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b, from packed operands. The part begins with a tile.
static void multiplyNarrowPart(const NarrowProductJob& job, const ProductPart& part) {
  const ProductJob& product = job.product;
  const int64_t held = job.heldPairs() * kTile, tiles = job.heldPairs() / kTile;
  const TileForm form;
  TilePlace places[2][2];
  _tile_loadconfig(&form);
  for (int64_t k = 0; k < tiles; k += kTilesHeld) {
    const int64_t depth = std::min(kTilesHeld, tiles - k);
    for (int64_t i = part.firstRow; i < part.endRow; i += 2 * kTile) {
      const uint32_t* a = job.left + i * job.heldPairs() + k * kTileWords;
      for (int64_t j = part.firstColumn; j < part.endColumn; j += 2 * kTile) {
        const uint32_t* b = job.right + j * job.heldPairs() + k * kTileWords;
        const bool twoRows = part.endRow - i > kTile, twoColumns = part.endColumn - j > kTile, adds = k > 0;
        for (int64_t r = 0; r <= twoRows; r++)
          for (int64_t s = 0; s <= twoColumns; s++)
            places[r][s].open(product.c + (i + r * kTile) * product.columns + j + s * kTile, product.columns,
                              part.endRow - i - r * kTile, part.endColumn - j - s * kTile, adds);
        if (twoRows && twoColumns) multiplyTiles<true, true>(a, b, held, depth, places, adds);
        else if (twoRows) multiplyTiles<true, false>(a, b, held, depth, places, adds);
        else if (twoColumns) multiplyTiles<false, true>(a, b, held, depth, places, adds);
        else multiplyTiles<false, false>(a, b, held, depth, places, adds);
        for (int64_t r = 0; r <= twoRows; r++)
          for (int64_t s = 0; s <= twoColumns; s++) places[r][s].close(product.columns);
      }
    }
  }
  _tile_release();
}
