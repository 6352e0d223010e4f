// Convolution by 3 × 3 filters with 16 multiplications for 4 outputs instead of 36: F(2 × 2, 3 × 3) of Lavin and Gray (2016),
//   y = Aᵀ [(G g Gᵀ) ⊙ (Bᵀ d B)] A   over tiles d of 4 × 4, two apart,
// and its derivative by the filters, dg = Gᵀ [Σ (A dy Aᵀ) ⊙ (Bᵀ d B)] G. The products over channels at each of the 16 places
// are matrix products.
constexpr int64_t kPlaces = 16;

// Rows and columns of pixels of a tile, two apart; the first tile begins one before the image.
struct TilePlace {
  int64_t image, y, x;
};
RM_INLINE TilePlace placeOf(const WinogradJob& job, int64_t tile) {
  const int64_t across = job.across(), ofImage = across * job.down(), rest = tile % ofImage;
  return {tile / ofImage, rest / across * 2, rest % across * 2};
}

// Bᵀ · t of four vectors.
RM_INLINE void spreadInput(V a, V b, V c, V d, V* to) {
  to[0] = a - c;
  to[1] = b + c;
  to[2] = c - b;
  to[3] = b - d;
}

// Bᵀ d B of tiles, [16][count][inputs]; places are `step` floats apart.
static void winogradInput(const WinogradJob& job, int64_t first, int64_t count, const float* zeros, float* to, int64_t step) {
  for (int64_t t = 0; t < count; t++) {
    const TilePlace place = placeOf(job, first + t);
    const float* from[kPlaces];
    for (int64_t i = 0; i < kPlaces; i++) {
      const int64_t y = place.y - 1 + i / 4, x = place.x - 1 + i % 4;
      const bool inside = y >= 0 && y < job.height && x >= 0 && x < job.width;
      from[i] = inside ? job.x + ((place.image * job.height + y) * job.width + x) * job.inputs : zeros;
    }
    for (int64_t j = 0; j < job.inputs; j += kLanes) {
      const int64_t n = job.inputs - j;
      V half[4][4];
#pragma GCC unroll 4
      for (int c = 0; c < 4; c++) {
        V column[4];
        spreadInput(load(from[c] + j, n), load(from[4 + c] + j, n), load(from[8 + c] + j, n), load(from[12 + c] + j, n), column);
        for (int r = 0; r < 4; r++) half[r][c] = column[r];
      }
#pragma GCC unroll 4
      for (int r = 0; r < 4; r++) {
        V row[4];
        spreadInput(half[r][0], half[r][1], half[r][2], half[r][3], row);
        for (int c = 0; c < 4; c++) store(to + (r * 4 + c) * step + t * job.inputs + j, row[c], n);
      }
    }
  }
}

// Aᵀ m A of tiles, m: [16][count][kPanel], into columns `first` of the outputs.
static void winogradOutput(const WinogradJob& job, int64_t firstTile, int64_t count, const float* from, int64_t step,
                           int64_t first, int64_t width) {
  for (int64_t t = 0; t < count; t++) {
    const TilePlace place = placeOf(job, firstTile + t);
    float* y = job.y + ((place.image * job.height + place.y) * job.width + place.x) * job.outputs + first;
    const bool right = place.x + 1 < job.width, below = place.y + 1 < job.height;
    for (int64_t j = 0; j < width; j += kLanes) {
      const int64_t n = job.outputs - first - j;
      V half[2][4];
#pragma GCC unroll 4
      for (int c = 0; c < 4; c++) {
        const float* m = from + t * kPanel + j + c * step;
        const V a = load(m), b = load(m + 4 * step), d = load(m + 8 * step), e = load(m + 12 * step);
        half[0][c] = a + b + d;
        half[1][c] = b - d - e;
      }
      for (int r = 0; r < (below ? 2 : 1); r++) {
        float* to = y + r * job.width * job.outputs + j;
        store(to, half[r][0] + half[r][1] + half[r][2], n);
        if (right) store(to + job.outputs, half[r][1] - half[r][2] - half[r][3], n);
      }
    }
  }
}

// A dy Aᵀ of tiles, [16][count][kPanel], from columns `first` of dy.
static void winogradSlope(const WinogradJob& job, int64_t firstTile, int64_t count, float* to, int64_t step, int64_t first,
                          int64_t width) {
  for (int64_t t = 0; t < count; t++) {
    const TilePlace place = placeOf(job, firstTile + t);
    const float* dy = job.y + ((place.image * job.height + place.y) * job.width + place.x) * job.outputs + first;
    const bool right = place.x + 1 < job.width, below = place.y + 1 < job.height;
    for (int64_t j = 0; j < width; j += kLanes) {
      const int64_t n = job.outputs - first - j;
      const float* under = dy + job.width * job.outputs;
      const V a = load(dy + j, n), b = right ? load(dy + job.outputs + j, n) : V{};
      const V c = below ? load(under + j, n) : V{}, d = right && below ? load(under + job.outputs + j, n) : V{};
      const V left[4] = {a, a + c, a - c, -c}, rest[4] = {b, b + d, b - d, -d};
#pragma GCC unroll 4
      for (int r = 0; r < 4; r++) {
        float* row = to + r * 4 * step + t * kPanel + j;
        store(row, left[r]);
        store(row + step, left[r] + rest[r]);
        store(row + 2 * step, left[r] - rest[r]);
        store(row + 3 * step, -rest[r]);
      }
    }
  }
}

// G g Gᵀ of input channels `begin` to `end` of a panel of outputs: [16][inputs][kPanel]. Turned: the filters of the input's
// gradient, which are rotated by half a turn, their inputs being the outputs.
static void winogradFilters(const float* filters, bool turned, int64_t inputs, int64_t outputs, int64_t panel, int64_t begin,
                            int64_t end, float* to) {
  const int64_t first = panel * kPanel, width = std::min(kPanel, padded(outputs - first));
  for (int64_t i = begin; i < end; i++) {
    for (int64_t j = 0; j < width; j += kLanes) {
      const int64_t n = outputs - first - j;
      V g[3][3];
      for (int tap = 0; tap < 9; tap++) {
        if (!turned) {
          g[tap / 3][tap % 3] = load(filters + (tap * inputs + i) * outputs + first + j, n);
          continue;
        }
        float lanes[kLanes] = {};
        const float* from = filters + ((8 - tap) * outputs + first + j) * inputs + i;
        for (int64_t lane = 0; lane < std::min(n, kLanes); lane++) lanes[lane] = from[lane * inputs];
        g[tap / 3][tap % 3] = load(lanes);
      }
      V half[4][3];
      for (int c = 0; c < 3; c++) {
        const V even = (g[0][c] + g[2][c]) * 0.5f, odd = g[1][c] * 0.5f;
        half[0][c] = g[0][c];
        half[1][c] = even + odd;
        half[2][c] = even - odd;
        half[3][c] = g[2][c];
      }
      for (int r = 0; r < 4; r++) {
        const V even = (half[r][0] + half[r][2]) * 0.5f, odd = half[r][1] * 0.5f;
        float* place = to + (r * 4 * inputs + i) * kPanel + j;
        const int64_t step = inputs * kPanel;
        store(place, half[r][0]);
        store(place + step, even + odd);
        store(place + 2 * step, even - odd);
        store(place + 3 * step, half[r][2]);
      }
    }
  }
}

// One block of tiles, all outputs.
static void winogradConvolution(const WinogradJob& job, int64_t block, WinogradRoom& room) {
  const int64_t first = block * job.tilesHeld, count = std::min(job.tilesHeld, job.tiles() - first);
  const int64_t step = job.tilesHeld * job.inputs + kMostLanes, productStep = job.tilesHeld * kPanel + kMostLanes;
  winogradInput(job, first, count, room.zeros.get(), room.spread.get(), step);
  for (int64_t column = 0; column < job.outputs; column += kPanel) {
    const int64_t width = std::min(kPanel, padded(job.outputs - column));
    const float* filters = job.filters + column * kPlaces * job.inputs;
    for (int64_t k = 0; k < kPlaces; k++)
      multiplySmall({room.spread.get() + k * step, job.inputs, 1}, filters + k * job.inputs * kPanel, kPanel,
                    room.products.get() + k * productStep, kPanel, count, width, job.inputs, false);
    winogradOutput(job, first, count, room.products.get(), productStep, column, width);
  }
}

// One part of the images, columns `column` to `column + kPanel`: Σ (A dy Aᵀ) ⊙ (Bᵀ d B), [16][inputs][columns].
static void winogradGradient(const WinogradJob& job, int64_t firstTile, int64_t endTile, int64_t column, float* sums,
                             int64_t columns, WinogradRoom& room) {
  const int64_t width = std::min(kPanel, columns - column);
  const int64_t step = job.tilesHeld * job.inputs + kMostLanes, slopeStep = job.tilesHeld * kPanel + kMostLanes;
  for (int64_t first = firstTile; first < endTile; first += job.tilesHeld) {
    const int64_t count = std::min(job.tilesHeld, endTile - first);
    winogradInput(job, first, count, room.zeros.get(), room.spread.get(), step);
    winogradSlope(job, first, count, room.products.get(), slopeStep, column, width);
    for (int64_t k = 0; k < kPlaces; k++)
      multiplySmall({room.spread.get() + k * step, 1, job.inputs}, room.products.get() + k * slopeStep, kPanel,
                    sums + k * job.inputs * columns + column, columns, job.inputs, width, count, first > firstTile);
  }
}
