// Matrix products whose bits depend on nothing but the operands: each element is one sum in the order of the depth, whichever
// thread computes it and whatever else it computes. Blocked as in Goto and van de Geijn (2008): a panel of b, packed in strips as wide
// as a tile, stays in the second-level cache, and the rows of a go past it.
constexpr int64_t kStrip = kTileVectors * kLanes;
constexpr int64_t kDepthHeld = 256, kColumnsHeld = 256, kRowsPacked = 48;
static_assert(kColumnsHeld % kStrip == 0 && kRowsPacked % kTileRows == 0, "panels are whole tiles");

// A tile of c over a part of the depth, from a packed strip of b; of the last strip only `width` columns are c's.
template <int R, class Element>
RM_INLINE void productTile(const Operand<Element>& a, const Element* strip, float* c, int64_t cRow, int64_t depth, bool adds,
                           int64_t width) {
  if (width >= kStrip) {
    tile<R, kTileVectors>(a, strip, kStrip, c, cRow, depth, adds);
    return;
  }
  float aside[R * kStrip] = {};
  if (adds)
    for (int64_t i = 0; i < R; i++) std::memcpy(aside + i * kStrip, c + i * cRow, width * sizeof(float));
  tile<R, kTileVectors>(a, strip, kStrip, aside, kStrip, depth, adds);
  for (int64_t i = 0; i < R; i++) std::memcpy(c + i * cRow, aside + i * kStrip, width * sizeof(float));
}

// Columns `first` to `first + count` of b over a part of the depth, in strips of [depth][kStrip], with zeros at the end.
RM_INLINE void packColumns(const ProductJob& job, int64_t k0, int64_t depth, int64_t first, int64_t count, float* to) {
  for (int64_t j = 0; j < count; j += kStrip) {
    const int64_t width = std::min(kStrip, count - j);
    float* strip = to + j * depth;
    if (!job.turnedB) {
      for (int64_t k = 0; k < depth; k++) {
        const float* from = job.b + (k0 + k) * job.columns + first + j;
        for (int64_t v = 0; v < kStrip; v += kLanes) store(strip + k * kStrip + v, load(from + v, width - v));
      }
      continue;
    }
    // As many lines of b at a time as are read from; a line of the cache holds sixteen of its values.
    for (int64_t begin = 0; begin < depth; begin += 16) {
      const int64_t end = std::min(depth, begin + 16);
      for (int64_t column = 0; column < kStrip; column++) {
        const float* from = job.b + (first + j + column) * job.depth + k0;
        for (int64_t k = begin; k < end; k++) strip[k * kStrip + column] = column < width ? from[k] : 0;
      }
    }
  }
}

// Rows `first` to `first + count` of a turned a, in strips of [depth][kTileRows]. A register at a time: what it brings beyond the
// strip's rows is written over by the next step of the depth, or lies in the room behind the strip.
constexpr int64_t kRowStrip = kDepthHeld * kTileRows + kMostLanes;
RM_INLINE void packRows(const ProductJob& job, int64_t k0, int64_t depth, int64_t first, int64_t count, float* to) {
  // As many lines of a at a time as the translation of addresses holds.
  for (int64_t begin = 0; begin < depth; begin += 32) {
    const int64_t end = std::min(depth, begin + 32);
    for (int64_t i = 0; i < count; i += kTileRows) {
      float* strip = to + i / kTileRows * kRowStrip;
      const int64_t left = job.rows - first - i;
      const float* from = job.a + k0 * job.rows + first + i;
      for (int64_t k = begin; k < end; k++)
        for (int64_t r = 0; r < kTileRows; r += kLanes) store(strip + k * kTileRows + r, load(from + k * job.rows + r, left - r));
    }
  }
}

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b.
static void multiplyPart(const ProductJob& job, const ProductPart& part) {
  const std::unique_ptr<float[]> panel(new float[kDepthHeld * kColumnsHeld]);
  const std::unique_ptr<float[]> packed(job.turnedA ? new float[kRowsPacked / kTileRows * kRowStrip] : nullptr);
  for (int64_t j0 = part.firstColumn; j0 < part.endColumn; j0 += kColumnsHeld) {
    const int64_t columns = std::min(kColumnsHeld, part.endColumn - j0);
    for (int64_t k0 = 0; k0 < job.depth; k0 += kDepthHeld) {
      const int64_t depth = std::min(kDepthHeld, job.depth - k0);
      packColumns(job, k0, depth, j0, columns, panel.get());
      for (int64_t i0 = part.firstRow; i0 < part.endRow; i0 += kRowsPacked) {
        const int64_t rows = std::min(kRowsPacked, part.endRow - i0);
        if (job.turnedA) packRows(job, k0, depth, i0, rows, packed.get());
        for (int64_t i = 0; i < rows; i += kTileRows) {
          const Operand<float> a = job.turnedA ? Operand<float>{packed.get() + i / kTileRows * kRowStrip, 1, kTileRows}
                                        : Operand<float>{job.a + (i0 + i) * job.depth + k0, job.depth, 1};
          for (int64_t j = 0; j < columns; j += kStrip) {
            float* c = job.c + (i0 + i) * job.columns + j0 + j;
            const float* strip = panel.get() + j * depth;
            if (rows - i >= kTileRows) {
              productTile<kTileRows>(a, strip, c, job.columns, depth, k0 > 0, columns - j);
              continue;
            }
            for (int64_t r = 0; r < rows - i; r++)
              productTile<1>({a.data + r * a.row, a.row, a.column}, strip, c + r * job.columns, job.columns, depth, k0 > 0,
                             columns - j);
          }
        }
      }
    }
  }
}
