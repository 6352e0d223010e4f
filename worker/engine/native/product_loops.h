// Matrix products whose bits depend on nothing but the operands: each element is one sum in the order of the depth, whichever
// thread computes it and whatever else it computes. Blocked as in Goto and van de Geijn (2008): a panel of b is packed in strips as
// wide as a tile; each strip stays in a cache while rows of a go past it.
constexpr int64_t kStrip = kTileVectors * kLanes;
// Most depths of a panel, its floats, and the rows of a that go past one strip after the other while they are near. Strips of AVX-512
// are wide, and come out of the second-level cache in time: they may be long, so that c is seldom put back.
constexpr int64_t kDepthHeld = RM_REGISTER_BYTES == 64 ? 1024 : 512, kPanelHeld = 128 * kDepthHeld, kRowsHeld = 96;
static_assert(kDepthHeld * kStrip <= kPanelHeld, "a strip fits a panel");
static_assert(kRowsHeld % kTileRows == 0, "rows are whole tiles");

// Lines of a matrix that are asked for before they are packed: the processor does not guess what lies a row apart.
constexpr int64_t kRowsAhead = 32;

// A tile of c over a part of the depth, from a packed strip of b; of the last strip only `width` columns are c's.
template <int R, class Element>
RM_INLINE void productTile(const Operand<Element>& a, const Element* strip, float* c, int64_t cRow, int64_t depth, bool adds,
                           int64_t width) {
  if (width >= kStrip) {
    tile<R, kTileVectors, true>(a, strip, kStrip, c, cRow, depth, adds);
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
        for (int64_t v = 0; v < kStrip; v += kMostLanes) __builtin_prefetch(from + kRowsAhead * job.columns + v);
        for (int64_t v = 0; v < kStrip; v += kLanes) store(strip + k * kStrip + v, load(from + v, width - v));
      }
      continue;
    }
    if (width < kStrip) std::fill(strip, strip + depth * kStrip, 0.f);
    turn<true>(job.b + (first + j) * job.depth + k0, job.depth, width, depth, strip, kStrip);
  }
}

// Rows `first` to `end` of a turned a in groups of a tile's rows, [depth][kTileRows] each; `first` begins a group.
static void packTurnedRows(const ProductJob& job, int64_t first, int64_t end, float* to) {
  for (int64_t k = 0; k < job.depth; k++) {
    const float* from = job.a + k * job.rows;
    for (int64_t i = first; i < end; i += kMostLanes) __builtin_prefetch(from + kRowsAhead * job.rows + i);
    int64_t i = first;
    for (; i + kTileRows <= end; i += kTileRows) std::memcpy(to + i * job.depth + k * kTileRows, from + i, kTileRows * sizeof(float));
    if (i < end) std::memcpy(to + i * job.depth + k * kTileRows, from + i, (end - i) * sizeof(float));
  }
}

// Row i of a and those behind it in its tile, from depth k0 on. A turned a lies as it was packed.
template <bool Turned>
RM_INLINE Operand<float> tileOf(const ProductJob& job, int64_t i, int64_t k0) {
  if (!Turned) return {job.a + i * job.depth + k0, job.depth, 1};
  const int64_t within = i % kTileRows;
  return {job.a + (i - within) * job.depth + k0 * kTileRows + within, 1, kTileRows};
}

template <bool Turned>
static void multiplyRows(const ProductJob& job, const ProductPart& part) {
  const Room<float> panel(kPanelHeld);
  const int64_t pieces = (job.depth + kDepthHeld - 1) / kDepthHeld, depthHeld = (job.depth + pieces - 1) / pieces;
  const int64_t columnsHeld = kPanelHeld / depthHeld / kStrip * kStrip;
  for (int64_t j0 = part.firstColumn; j0 < part.endColumn; j0 += columnsHeld) {
    const int64_t columns = std::min(columnsHeld, part.endColumn - j0);
    for (int64_t k0 = 0; k0 < job.depth; k0 += depthHeld) {
      const int64_t depth = std::min(depthHeld, job.depth - k0);
      packColumns(job, k0, depth, j0, columns, panel.get());
      for (int64_t i0 = part.firstRow; i0 < part.endRow; i0 += kRowsHeld) {
        const int64_t end = std::min(part.endRow, i0 + kRowsHeld), whole = end - (end - i0) % kTileRows;
        for (int64_t j = 0; j < columns; j += kStrip) {
          float* c = job.c + j0 + j;
          const float* strip = panel.get() + j * depth;
          for (int64_t i = i0; i < whole; i += kTileRows)
            productTile<kTileRows>(tileOf<Turned>(job, i, k0), strip, c + i * job.columns, job.columns, depth, k0 > 0, columns - j);
          for (int64_t i = whole; i < end; i++)
            productTile<1>(tileOf<Turned>(job, i, k0), strip, c + i * job.columns, job.columns, depth, k0 > 0, columns - j);
        }
      }
    }
  }
}

// c[firstRow … endRow][firstColumn … endColumn] of c = a · b; a turned a is given as it was packed. Parts begin with a tile.
static void multiplyPart(const ProductJob& job, const ProductPart& part) {
  if (job.turnedA) multiplyRows<true>(job, part);
  else multiplyRows<false>(job, part);
}
