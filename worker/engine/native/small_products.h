// Products of small matrices that lie in a core's own cache, with the result's tile in registers.
// An operand whose element (i, k) is at data[i * row + k * column].
struct Operand {
  const float* data;
  int64_t row, column;
};

// c[i][·] (+)= Σ_k a(i, k) · b[k][·] for R rows and C vectors of columns. b and c are row by row.
template <int R, int C>
RM_INLINE void tile(const Operand& a, const float* b, int64_t bRow, float* c, int64_t cRow, int64_t depth, bool adds) {
  TileVector sums[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) sums[i][j] = adds ? loadTile(c + i * cRow + j * kTileLanes) : TileVector{};
  for (int64_t k = 0; k < depth; k++) {
    TileVector right[C];
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) right[j] = loadTile(b + k * bRow + j * kTileLanes);
#pragma GCC unroll 16
    for (int i = 0; i < R; i++) {
      const float left = a.data[i * a.row + k * a.column];
#pragma GCC unroll 16
      for (int j = 0; j < C; j++) sums[i][j] += left * right[j];
    }
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) storeTile(c + i * cRow + j * kTileLanes, sums[i][j]);
}

template <int R, int C>
RM_INLINE void panel(const Operand& a, const float* b, int64_t bRow, float* c, int64_t cRow, int64_t rows, int64_t depth,
                     bool adds) {
  int64_t i = 0;
  const auto at = [&](int64_t row) { return Operand{a.data + row * a.row, a.row, a.column}; };
  for (; i + R <= rows; i += R) tile<R, C>(at(i), b, bRow, c + i * cRow, cRow, depth, adds);
  for (; i + 2 <= rows; i += 2) tile<2, C>(at(i), b, bRow, c + i * cRow, cRow, depth, adds);
  for (; i < rows; i++) tile<1, C>(at(i), b, bRow, c + i * cRow, cRow, depth, adds);
}

// c (+)= a · b. `columns` is a multiple of kLanes. Each element is a sum in the order of k, whatever the tiles.
RM_INLINE void multiplySmall(const Operand& a, const float* b, int64_t bRow, float* c, int64_t cRow, int64_t rows,
                             int64_t columns, int64_t depth, bool adds) {
  constexpr int64_t whole = kTileVectors * kTileLanes;
  int64_t j = 0;
  for (; j + whole <= columns; j += whole)
    panel<kTileRows, kTileVectors>(a, b + j, bRow, c + j, cRow, rows, depth, adds);
  if (kTileVectors > 2 && j + 2 * kTileLanes <= columns) {
    panel<2 * kTileRows, 2>(a, b + j, bRow, c + j, cRow, rows, depth, adds);
    j += 2 * kTileLanes;
  }
  for (; j < columns; j += kTileLanes) panel<kTileRows, 1>(a, b + j, bRow, c + j, cRow, rows, depth, adds);
}
