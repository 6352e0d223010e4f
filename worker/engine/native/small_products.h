// Products of small matrices that lie in a core's own cache, with the result's tile in registers.
// An operand whose element (i, k) is at data[i * row + k * column]: a float, or a pair of bfloat16 of neighbouring depths.
template <class Element>
struct Operand {
  const Element* data;
  int64_t row, column;
};

RM_INLINE V addProduct(V sum, float left, V right) { return sum + left * right; }
RM_INLINE V loadRegister(const float* p) { return load(p); }

// c[i][·] (+)= Σ_k a(i, k) · b[k][·] for R rows and C vectors of columns. b and c are row by row.
// @tparam Far whether a and c come from memory. Lines of c are then asked for in turn while sums are made: all of them at the end
// would take all places that a core has for lines on their way, and b's would have to wait. So are the rows behind a's.
template <int R, int C, bool Far = false, class Element>
RM_INLINE void tile(const Operand<Element>& a, const Element* b, int64_t bRow, float* c, int64_t cRow, int64_t depth, bool adds) {
  V sums[R][C];
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) sums[i][j] = adds ? load(c + i * cRow + j * kLanes) : V{};
  const auto add = [&](int64_t first, int64_t end) {
    for (int64_t k = first; k < end; k++) {
      if (Far && a.column == 1) __builtin_prefetch(a.data + R * (a.row + k));
      decltype(loadRegister(b)) right[C];
#pragma GCC unroll 16
      for (int j = 0; j < C; j++) right[j] = loadRegister(b + k * bRow + j * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < R; i++) {
        const Element left = a.data[i * a.row + k * a.column];
#pragma GCC unroll 16
        for (int j = 0; j < C; j++) sums[i][j] = addProduct(sums[i][j], left, right[j]);
      }
    }
  };
  if constexpr (Far) {
    for (int64_t i = 0; i < R; i++) {
      for (int64_t j = 0; j < C * kLanes; j += kMostLanes) __builtin_prefetch(c + i * cRow + j, 1);
      add(depth * i / R, depth * (i + 1) / R);
    }
  } else {
    add(0, depth);
  }
#pragma GCC unroll 16
  for (int i = 0; i < R; i++)
#pragma GCC unroll 16
    for (int j = 0; j < C; j++) store(c + i * cRow + j * kLanes, sums[i][j]);
}

template <int R, int C, class Element>
RM_INLINE void panel(const Operand<Element>& a, const Element* b, int64_t bRow, float* c, int64_t cRow, int64_t rows, int64_t depth,
                     bool adds) {
  int64_t i = 0;
  const auto at = [&](int64_t row) { return Operand<Element>{a.data + row * a.row, a.row, a.column}; };
  for (; i + R <= rows; i += R) tile<R, C>(at(i), b, bRow, c + i * cRow, cRow, depth, adds);
  for (; i + 2 <= rows; i += 2) tile<2, C>(at(i), b, bRow, c + i * cRow, cRow, depth, adds);
  for (; i < rows; i++) tile<1, C>(at(i), b, bRow, c + i * cRow, cRow, depth, adds);
}

// c (+)= a · b. `columns` is a multiple of kLanes. Each element is a sum in the order of k, whatever the tiles.
template <class Element>
RM_INLINE void multiplySmall(const Operand<Element>& a, const Element* b, int64_t bRow, float* c, int64_t cRow, int64_t rows,
                             int64_t columns, int64_t depth, bool adds) {
  constexpr int64_t whole = kTileVectors * kLanes;
  int64_t j = 0;
  for (; j + whole <= columns; j += whole)
    panel<kTileRows, kTileVectors>(a, b + j, bRow, c + j, cRow, rows, depth, adds);
  if (kTileVectors > 2 && j + 2 * kLanes <= columns) {
    panel<2 * kTileRows, 2>(a, b + j, bRow, c + j, cRow, rows, depth, adds);
    j += 2 * kLanes;
  }
  for (; j < columns; j += kLanes) panel<kTileRows, 1>(a, b + j, bRow, c + j, cRow, rows, depth, adds);
}

#ifndef RM_TILES
// c (+)= a · b of pairs: a row by row, b line by line of two rows.
RM_INLINE void multiplyPairs(const uint32_t* a, int64_t aRow, const uint32_t* b, int64_t bRow, float* c, int64_t cRow, int64_t rows,
                             int64_t columns, int64_t pairs, bool adds) {
  multiplySmall(Operand<uint32_t>{a, aRow, 1}, b, bRow, c, cRow, rows, columns, pairs, adds);
}
// Around what multiplies pairs.
struct TileScope {
  ~TileScope() {}
};
// To a large result that is not read again soon.
RM_INLINE void putPast(const Result& to, int64_t at, V v, int64_t n) { put(to, at, v, n); }
// Asks for the lines that n elements will be put past.
RM_INLINE void fetchPast(const Result& to, int64_t at, int64_t n) {
  if (to.narrow == nullptr)
    for (int64_t k = 0; k < n; k += 16) __builtin_prefetch(to.wide + at + k, 1, 2);
  else
    for (int64_t k = 0; k < n; k += 32) __builtin_prefetch(to.narrow + at + k, 1, 2);
}
#endif
