// Matrix products of floats rounded to bfloat16, tile by tile. Operands are packed in tiles, [16 rows][16 pairs] of a and
// [16 pairs][16 columns] of b, those of a row or column of tiles in the order of the depth, with zeros at the end.
constexpr int64_t kTileWords = kTile * kTile;
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

// Where a tile of c is added up: in c itself, or aside where it reaches beyond c.
struct TileAside {
  float* c;
  int64_t rows, columns;
  alignas(64) float held[kTileWords];

  TileTarget open(float* corner, int64_t cRow, int64_t rowsLeft, int64_t columnsLeft, bool adds) {
    c = corner, rows = std::min(kTile, rowsLeft), columns = std::min(kTile, columnsLeft);
    if (rows == kTile && columns == kTile) {
      rows = 0;
      return {c, cRow};
    }
    if (adds)
      for (int64_t i = 0; i < rows; i++) std::memcpy(held + i * kTile, c + i * cRow, columns * sizeof(float));
    return {held, kTile};
  }
  void close(int64_t cRow) const {
    for (int64_t i = 0; i < rows; i++) std::memcpy(c + i * cRow, held + i * kTile, columns * sizeof(float));
  }
};

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b, from packed operands. The part begins with a tile.
static void multiplyNarrowPart(const NarrowProductJob& job, const ProductPart& part) {
  const ProductJob& product = job.product;
  const int64_t next = job.heldPairs() * kTile, tiles = job.heldPairs() / kTile;
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
                                              part.endRow - i - r * kTile, part.endColumn - j - s * kTile, k > 0);
        multiplyTiles({job.left + i * job.heldPairs() + k * kTileWords, kTile, kTileWords, next},
                      {job.right + j * job.heldPairs() + k * kTileWords, kTile, kTileWords, next}, std::min(kTilesHeld, tiles - k),
                      targets, k > 0, twoRows, twoColumns);
        for (int64_t r = 0; r <= twoRows; r++)
          for (int64_t s = 0; s <= twoColumns; s++) asides[r][s].close(product.columns);
      }
}
