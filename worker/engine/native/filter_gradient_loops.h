// A convolution's filter gradient: for each place (i, j) in the filters, xᵀ · dy over all pixels, x read where (i, j) lies.
// Pixels are taken in blocks: pieces of images are copied with their padding, 64 columns of dy beside each other, and a tile
// of the sums stays in registers for a whole block.
constexpr int64_t kPanel = 64;

// sums[r][·] += Σ_p pieces[places[p] + r] · panel[p][·] for R rows and C vectors of columns.
template <int R, int C>
RM_INLINE void filterTile(const float* pieces, const int32_t* places, const float* panel, int64_t pixels, float* sums,
                          int64_t columns) {
  V held[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) held[i][j] = load(sums + i * columns + j * kLanes);
  for (int64_t p = 0; p < pixels; p++) {
    const float *left = pieces + places[p], *right = panel + p * kPanel;
    V row[C];
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) row[j] = load(right + j * kLanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++)
#pragma GCC unroll 16
      for (int j = 0; j < C; j++) held[i][j] += left[i] * row[j];
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) store(sums + i * columns + j * kLanes, held[i][j]);
}

// The same for all rows of one place in the filters.
template <int C>
static void filterRows(const float* pieces, const int32_t* places, const float* panel, int64_t pixels, float* sums,
                       int64_t columns, int64_t rows) {
  int64_t r = 0;
  for (; r + kTileRows <= rows; r += kTileRows)
    filterTile<kTileRows, C>(pieces + r, places, panel, pixels, sums + r * columns, columns);
  if (r + 4 <= rows) {
    filterTile<4, C>(pieces + r, places, panel, pixels, sums + r * columns, columns);
    r += 4;
  }
  if (r + 2 <= rows) {
    filterTile<2, C>(pieces + r, places, panel, pixels, sums + r * columns, columns);
    r += 2;
  }
  if (r < rows) filterTile<1, C>(pieces + r, places, panel, pixels, sums + r * columns, columns);
}

// Copies the rows of an image that a strip of dy's rows reads, zeros around them.
static void copyPiece(const FilterGradientJob& job, int64_t image, int64_t firstRow, int64_t rowCount, float* piece,
                      int64_t pixelFloats) {
  const int64_t across = job.width + 2 * job.padding;
  std::memset(piece, 0, rowCount * across * pixelFloats * sizeof(float));
  for (int64_t r = 0; r < rowCount; r++) {
    const int64_t y = firstRow + r;
    if (y < 0 || y >= job.height) continue;
    const float* from = job.x + (image * job.height + y) * job.width * job.inputs;
    float* to = piece + (r * across + job.padding) * pixelFloats;
    for (int64_t x = 0; x < job.width; x++)
      std::memcpy(to + x * pixelFloats, from + x * job.inputs, job.inputs * sizeof(float));
  }
}

// One part of the images, columns `first` to `first + kPanel` of the outputs.
static void filterGradient(const FilterGradientJob& job, int64_t part, int64_t first, FilterGradientRoom& room) {
  const int64_t pixelsHeld = job.inputs > 256 ? 128 : 256;
  const int64_t width = std::min(kPanel, job.columns() - first), real = std::min(kPanel, job.outputs - first);
  // Pixels a power of two apart would share few places of the cache.
  const int64_t pixelFloats = job.inputs % kPanel == 0 ? job.inputs + kMostLanes : job.inputs;
  const int64_t across = job.width + 2 * job.padding;
  const int64_t stripRows = std::min(job.outHeight, std::max<int64_t>(1, pixelsHeld / job.outWidth));
  const int64_t strips = (job.outHeight + stripRows - 1) / stripRows;
  const int64_t together = std::max<int64_t>(1, pixelsHeld / (stripRows * job.outWidth));
  const int64_t pieceRows = (stripRows - 1) * job.stride + job.size;
  const int64_t pieceFloats = pieceRows * across * pixelFloats;
  room.pieces.resize(together * pieceFloats + kLanes);
  room.panel.resize(together * stripRows * job.outWidth * kPanel);
  room.places.resize(together * stripRows * job.outWidth);
  float* sums = job.sums + part * job.filterRows() * job.columns();
  for (int64_t r = 0; r < job.filterRows(); r++) std::memset(sums + r * job.columns() + first, 0, width * sizeof(float));
  const int64_t firstStrip = job.rows * part / job.parts * strips, endStrip = job.rows * (part + 1) / job.parts * strips;
  for (int64_t strip = firstStrip; strip < endStrip; strip += together) {
    int64_t pixels = 0;
    for (int64_t s = strip; s < std::min(endStrip, strip + together); s++) {
      const int64_t image = s / strips, row = s % strips * stripRows, end = std::min(job.outHeight, row + stripRows);
      float* piece = room.pieces.data() + (s - strip) * pieceFloats;
      const int64_t rowCount = (end - row - 1) * job.stride + job.size;
      copyPiece(job, image, row * job.stride - job.padding, rowCount, piece, pixelFloats);
      for (int64_t y = row; y < end; y++)
        for (int64_t x = 0; x < job.outWidth; x++, pixels++) {
          const float* dy = job.dy + ((image * job.outHeight + y) * job.outWidth + x) * job.outputs + first;
          float* to = room.panel.data() + pixels * kPanel;
          for (int64_t j = 0; j < width; j += kLanes) store(to + j, load(dy + j, real - j));
          room.places[pixels] = (s - strip) * pieceFloats + ((y - row) * across + x) * job.stride * pixelFloats;
        }
    }
    for (int64_t i = 0; i < job.size; i++)
      for (int64_t j = 0; j < job.size; j++) {
        const float* pieces = room.pieces.data() + (i * across + j) * pixelFloats;
        float* to = sums + (i * job.size + j) * job.inputs * job.columns() + first;
        int64_t column = 0;
        constexpr int64_t whole = kTileVectors * kLanes;
        for (; column + whole <= width; column += whole)
          filterRows<kTileVectors>(pieces, room.places.data(), room.panel.data() + column, pixels, to + column,
                                   job.columns(), job.inputs);
        for (; column < width; column += kLanes)
          filterRows<1>(pieces, room.places.data(), room.panel.data() + column, pixels, to + column, job.columns(),
                        job.inputs);
      }
  }
}
