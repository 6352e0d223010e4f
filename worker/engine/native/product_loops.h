// Matrix products whose bits depend on nothing but the operands: each element is one sum in the order of the depth, whichever
// thread computes it and whatever else it computes. Blocked as in Goto and van de Geijn (2008): a panel of b, packed in strips as wide
// as a tile, stays in the second-level cache, and the rows of a go past it.
constexpr int64_t kStrip = kTileVectors * kLanes;
// Depths and floats of a panel.
constexpr int64_t kDepthHeld = 256, kPanelHeld = 65536;
static_assert(kDepthHeld * kStrip <= kPanelHeld, "a strip fits a panel");

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
    if (width < kStrip) std::fill(strip, strip + depth * kStrip, 0.f);
    turn(job.b + (first + j) * job.depth + k0, job.depth, width, depth, strip, kStrip);
  }
}

// Rows `first` to `end` of a turned a as they would lie if it were not.
static void turnRows(const ProductJob& job, int64_t first, int64_t end, float* to) {
  turn(job.a + first, job.rows, job.depth, end - first, to + first * job.depth, job.depth);
}

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b; a lies as if it were not turned.
static void multiplyPart(const ProductJob& job, const ProductPart& part) {
  const Room<float> panel(kPanelHeld);
  const int64_t depthHeld = std::min(kDepthHeld, job.depth), columnsHeld = kPanelHeld / depthHeld / kStrip * kStrip;
  for (int64_t j0 = part.firstColumn; j0 < part.endColumn; j0 += columnsHeld) {
    const int64_t columns = std::min(columnsHeld, part.endColumn - j0);
    for (int64_t k0 = 0; k0 < job.depth; k0 += depthHeld) {
      const int64_t depth = std::min(depthHeld, job.depth - k0);
      packColumns(job, k0, depth, j0, columns, panel.get());
      for (int64_t i = part.firstRow; i < part.endRow; i += kTileRows) {
        const float* a = job.a + i * job.depth + k0;
        for (int64_t j = 0; j < columns; j += kStrip) {
          float* c = job.c + i * job.columns + j0 + j;
          const float* strip = panel.get() + j * depth;
          if (part.endRow - i >= kTileRows) {
            productTile<kTileRows>(Operand<float>{a, job.depth, 1}, strip, c, job.columns, depth, k0 > 0, columns - j);
            continue;
          }
          for (int64_t r = 0; r < part.endRow - i; r++)
            productTile<1>(Operand<float>{a + r * job.depth, job.depth, 1}, strip, c + r * job.columns, job.columns, depth, k0 > 0, columns - j);
        }
      }
    }
  }
}
