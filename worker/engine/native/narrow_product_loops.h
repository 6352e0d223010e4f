// Matrix products of floats rounded to bfloat16, added up in float32. Each element is one sum in the order of the depth, whichever
// thread computes it.

// Most pairs of depths that are added up before a tile of c is put back, columns whose strips take turns, and rows of a that go past
// one strip after the other while they are in the second-level cache.
constexpr int64_t kPairsHeld = 768, kNarrowColumnsHeld = 256, kNarrowRowsHeld = 96;
static_assert(kProductUnit % kStrip == 0 && kNarrowColumnsHeld % kProductUnit == 0, "units are whole strips");
static_assert(kNarrowRows % kTileRows == 0 && kNarrowRowsHeld % kTileRows == 0, "groups of rows are whole tiles");

template <class Element>
RM_INLINE void packColumnsOf(const NarrowProductJob& job, const Element* b, int64_t first, int64_t end) {
  const ProductJob& product = job.product;
  for (int64_t j = first * kProductUnit; j < end * kProductUnit; j += kStrip) {
    uint32_t* strip = job.right + j * job.pairs();
    if (product.turnedB)
      packTurned<true>(product.columns - j, product.depth, strip, kStrip,
                 [&](int64_t column) { return b + (j + column) * product.depth; });
    else packAcross(b + j, product.columns, product.depth, product.columns - j, strip, kStrip);
  }
}

// Units `first` … `end` of kProductUnit columns of b, in strips of [pairs][kStrip], with zeros at the end.
static void packNarrowColumns(const NarrowProductJob& job, int64_t first, int64_t end) {
  if (job.product.narrowB == nullptr) packColumnsOf(job, job.product.b, first, end);
  else packColumnsOf(job, job.product.narrowB, first, end);
}

template <class Element>
RM_INLINE void packRowsOf(const NarrowProductJob& job, const Element* a, int64_t first, int64_t end) {
  const ProductJob& product = job.product;
  for (int64_t group = first; group < end; group++) {
    const int64_t row = group * kNarrowRows, rows = std::min(kNarrowRows, product.rows - row);
    uint32_t* to = job.left + row * job.heldPairs();
    if (product.turnedA) packAcross(a + row, product.rows, product.depth, rows, to, kNarrowRows);
    else
      for (int64_t i = 0; i < rows; i++) packLine(a + (row + i) * product.depth, product.depth, to + i * job.heldPairs());
  }
}

// Groups `first` … `end` of kNarrowRows rows of a: line by line, or where a is turned in groups of [pairs][kNarrowRows].
static void packNarrowRows(const NarrowProductJob& job, int64_t first, int64_t end) {
  if (job.product.narrowA == nullptr) packRowsOf(job, job.product.a, first, end);
  else packRowsOf(job, job.product.narrowA, first, end);
}

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b, from packed operands or from rows of a where they lie.
static void multiplyNarrowPart(const NarrowProductJob& job, const ProductPart& part) {
  const ProductJob& product = job.product;
  const int64_t pairs = job.pairs(), pieces = (pairs + kPairsHeld - 1) / kPairsHeld, pairsHeld = (pairs + pieces - 1) / pieces;
  const bool readsRows = job.readsRows(false);
  const uint32_t* left = readsRows ? reinterpret_cast<const uint32_t*>(product.narrowA) : job.left;
  const int64_t line = readsRows ? pairs : job.heldPairs();
  for (int64_t j0 = part.firstColumn; j0 < part.endColumn; j0 += kNarrowColumnsHeld) {
    const int64_t endColumn = std::min(part.endColumn, j0 + kNarrowColumnsHeld);
    for (int64_t k0 = 0; k0 < pairs; k0 += pairsHeld) {
      const int64_t depth = std::min(pairsHeld, pairs - k0);
      for (int64_t i0 = part.firstRow; i0 < part.endRow; i0 += kNarrowRowsHeld) {
        const int64_t endRow = std::min(part.endRow, i0 + kNarrowRowsHeld);
        for (int64_t j = j0; j < endColumn; j += kStrip) {
          const uint32_t* strip = job.right + j * pairs + k0 * kStrip;
          const int64_t width = product.columns - j;
          for (int64_t i = i0; i < endRow;) {
            const int64_t group = i / kNarrowRows * kNarrowRows, rest = endRow - i;
            const int64_t rows = rest >= kTileRows ? kTileRows : rest >= 4 ? 4 : 1;
            const Operand<uint32_t> a =
                product.turnedA ? Operand<uint32_t>{left + group * line + k0 * kNarrowRows + i - group, 1, kNarrowRows}
                                : Operand<uint32_t>{left + i * line + k0, line, 1};
            float* c = product.c + i * product.columns + j;
            if (rows == kTileRows) productTile<kTileRows>(a, strip, c, product.columns, depth, k0 > 0, width);
            else if (rows == 4) productTile<4>(a, strip, c, product.columns, depth, k0 > 0, width);
            else productTile<1>(a, strip, c, product.columns, depth, k0 > 0, width);
            i += rows;
          }
        }
      }
    }
  }
}
