// Attention of one head, forward and backward, with the scores in a core's own cache.
// Asks for one row of what the next head reads. Its rows lie far apart, so that the processor does not guess them, and a head takes
// as long as they need. @param others matrices of a head's size that are read too; null where there are none
RM_INLINE void fetchRow(const AttentionJob& job, int64_t item, int64_t row, std::initializer_list<const float*> others) {
  if (item >= job.batch * job.heads) return;
  const int64_t features = job.features(), place = item / job.heads * job.length + row, column = item % job.heads * job.size;
  for (int64_t k = 0; k < job.size; k += 16) {
    for (int64_t part = 0; part < 3; part++) __builtin_prefetch(job.projected + (place * 3 + part) * features + column + k, 0, 2);
    for (const float* other : others)
      if (other != nullptr) __builtin_prefetch(other + place * features + column + k, 0, 2);
  }
}

// Takes one head's queries (0), keys (1) or values (2), bias added and scaled, row by row.
RM_INLINE void takeRows(const AttentionJob& job, int64_t sample, int64_t head, int part, float scale, float* rows) {
  const int64_t features = job.features(), narrow = heldWidth(job.size);
  const float* bias = job.bias + part * features + head * job.size;
  for (int64_t i = 0; i < job.length; i++) {
    const float* from = job.projected + ((sample * job.length + i) * 3 + part) * features + head * job.size;
    for (int64_t k = 0; k < job.size; k += kLanes)
      store(rows + i * narrow + k, (load(from + k, job.size - k) + load(bias + k, job.size - k)) * scale);
  }
}

// Rows of a matrix whose rows are padded, two columns to a word.
RM_INLINE void packRows(const float* rows, int64_t count, int64_t width, Held<uint32_t>& to) {
  const int64_t wide = heldWidth(width);
  for (int64_t i = 0; i < count; i++) packLine(rows + i * wide, wide, to.data() + i * wide / 2);
}

// Rows of a matrix whose rows are padded, two to a line, and lines of zeros to the depth of a product.
RM_INLINE void packLines(const float* rows, int64_t count, int64_t width, Held<uint32_t>& to) {
  const int64_t wide = heldWidth(width), lines = (count + 1) / 2;
  packAcross(rows, wide, count, wide, to.data(), wide);
  std::fill(to.data() + lines * wide, to.data() + heldWidth(count) / 2 * wide, 0u);
}

RM_INLINE void turnPairs(const AttentionJob& job, const Held<float>& rows, Held<uint32_t>& turned) {
  const int64_t narrow = heldWidth(job.size);
  packTurned<false>(job.length, narrow, turned.data(), heldWidth(job.length), [&](int64_t i) { return rows.data() + i * narrow; });
}

RM_INLINE void takeHead(const AttentionJob& job, int64_t sample, int64_t head, AttentionRoom& room) {
  takeRows(job, sample, head, 0, job.scale, room.queries.data());
  takeRows(job, sample, head, 1, 1.f, room.keys.data());
  takeRows(job, sample, head, 2, 1.f, room.values.data());
  if (job.narrow) {
    packRows(room.queries.data(), job.length, job.size, room.queryRows);
    turnPairs(job, room.keys, room.turnedKeyPairs);
  } else {
    turn<false>(room.keys.data(), heldWidth(job.size), job.length, job.size, room.turnedKeys.data(), heldWidth(job.length));
  }
  std::memcpy(room.mask.data(), job.mask + sample * job.length, job.length * sizeof(float));
}

// Scores of rows first to first + count of a head, without the mask, into room.scores.
RM_INLINE void scoreRows(const AttentionJob& job, int64_t first, int64_t count, AttentionRoom& room) {
  const int64_t wide = heldWidth(job.length), narrow = heldWidth(job.size), half = narrow / 2;
  if (job.narrow)
    multiplyPairs(room.queryRows.data() + first * half, half, room.turnedKeyPairs.data(), wide, room.scores.data(), wide, count,
                  wide, half, false);
  else
    multiplySmall({room.queries.data() + first * narrow, narrow, 1}, room.turnedKeys.data(), wide, room.scores.data(), wide,
                  count, wide, job.size, false);
}

// Scores from `at` on, masked. @param mask null: nothing is added
RM_INLINE V masked(const float* row, const float* mask, int64_t at) {
  return mask == nullptr ? load(row + at) : load(row + at) + load(mask + at);
}

// Place of a row among those of all heads, [batch, heads, length].
RM_INLINE int64_t rowIndex(const AttentionJob& job, int64_t item, int64_t row) { return item * job.length + row; }

// The largest of a row of scores, and 1 ÷ the sum of the exponentials that take its place.
struct RowStats {
  float top, inverse;
};

// @param wide length of the row, with padding that is far below all scores
RM_INLINE RowStats exponentials(float* row, const float* mask, int64_t wide) {
  V most = masked(row, mask, 0);
  for (int64_t j = kLanes; j < wide; j += kLanes) most = larger(most, masked(row, mask, j));
  const float top = largest(most);
  V total{};
  for (int64_t j = 0; j < wide; j += kLanes) {
    const V e = exponential(masked(row, mask, j) - top);
    total += e;
    store(row + j, e);
  }
  return {top, 1 / sum(total)};
}

static void attend(const AttentionJob& job, const Result& context, int64_t item, AttentionRoom& room) {
  const int64_t sample = item / job.heads, head = item % job.heads;
  const int64_t wide = heldWidth(job.length), narrow = heldWidth(job.size), features = job.features();
  const TileScope tiles;
  takeHead(job, sample, head, room);
  if (job.narrow) packLines(room.values.data(), job.length, job.size, room.valueLines);
  for (int64_t first = 0; first < job.length; first += kHeldRows) {
    const int64_t count = std::min(kHeldRows, job.length - first);
    scoreRows(job, first, count, room);
    for (int64_t i = 0; i < count; i++) {
      float* row = room.scores.data() + i * wide;
      fetchPast(context, (sample * job.length + first + i) * features + head * job.size, job.size);
      fetchRow(job, item + 1, first + i, {});
      const auto [top, inverse] = exponentials(row, room.mask.data(), wide);
      const int64_t place = rowIndex(job, item, first + i);
      job.stats[2 * place] = top;
      job.stats[2 * place + 1] = inverse;
      if (job.dropout.drops)
        dropoutFactors(job.dropout, job.dropoutPlace(item, first + i), job.length, room.factors.data(), room.numbers.data());
      for (int64_t j = 0; j < wide; j += kLanes) {
        V p = load(row + j) * inverse;
        if (job.dropout.drops) p = p * load(room.factors.data() + j);
        store(row + j, p);
      }
    }
    float* out = room.dContext.data();
    if (job.narrow) {
      packRows(room.scores.data(), count, job.length, room.scoreRows);
      multiplyPairs(room.scoreRows.data(), wide / 2, room.valueLines.data(), narrow, out, narrow, count, narrow, wide / 2, false);
    } else {
      multiplySmall({room.scores.data(), wide, 1}, room.values.data(), narrow, out, narrow, count, narrow, job.length, false);
    }
    for (int64_t i = 0; i < count; i++)
      for (int64_t k = 0; k < job.size; k += kLanes)
        putPast(context, (sample * job.length + first + i) * features + head * job.size + k, load(out + i * narrow + k),
                job.size - k);
  }
}

RM_INLINE void putRows(const AttentionGradientJob& job, int64_t sample, int64_t head, int part, float scale,
                       const float* rows) {
  const AttentionJob& f = job.forward;
  const int64_t features = f.features(), narrow = heldWidth(f.size);
  float* sums = job.parts + sample * 3 * features + part * features + head * f.size;
  // Two registers at a time: narrowed they are a line, which is written past the caches whole or slowly.
  for (int64_t k = 0; k < f.size; k += 2 * kLanes) {
    V totals[2]{};
    for (int64_t i = 0; i < f.length; i++)
      for (int64_t half = 0; half < 2; half++) {
        const int64_t at = k + half * kLanes;
        if (at >= f.size) break;
        const V v = load(rows + i * narrow + at) * scale;
        totals[half] += v;
        putPast(job.dProjected, ((sample * f.length + i) * 3 + part) * features + head * f.size + at, v, f.size - at);
      }
    for (int64_t half = 0; half < 2 && k + half * kLanes < f.size; half++)
      store(sums + k + half * kLanes, totals[half], f.size - k - half * kLanes);
  }
}

// A row of scores and of dP becomes one of P∘D and of dS. The sum that dS cancels is taken of dP as it was rounded: that of dO∘O,
// which equals it, was not, and the difference would weigh on all of the row.
RM_INLINE void slopesOfPairs(const AttentionJob& job, float top, float inverse, float* row, float* slope,
                             const AttentionRoom& room) {
  const int64_t wide = heldWidth(job.length);
  const float* factors = job.dropout.drops ? room.factors.data() : nullptr;
  V product{};
  for (int64_t j = 0; j < wide; j += kLanes) {
    const V p = exponential(masked(row, room.mask.data(), j) - top) * inverse;
    V d = load(slope + j);
    if (factors != nullptr) d = d * load(factors + j);
    product += p * d;
    store(row + j, p);
    store(slope + j, d);
  }
  const float mean = sum(product);
  for (int64_t j = 0; j < wide; j += kLanes) {
    const V p = load(row + j);
    store(slope + j, p * (load(slope + j) - mean));
    if (factors != nullptr) store(row + j, p * load(factors + j));
  }
}

static void attendGradient(const AttentionGradientJob& job, int64_t item, AttentionRoom& room) {
  const AttentionJob& f = job.forward;
  const int64_t sample = item / f.heads, head = item % f.heads;
  const int64_t wide = heldWidth(f.length), narrow = heldWidth(f.size), half = narrow / 2, features = f.features();
  // Whole registers are written to rows of these.
  const int64_t turnedRow = tilePadded(f.length) / 2;
  const TileScope tiles;
  takeHead(f, sample, head, room);
  for (int64_t i = 0; i < f.length; i++) {
    const float* from = job.dContext + (sample * f.length + i) * features + head * f.size;
    for (int64_t k = 0; k < f.size; k += kLanes) store(room.dContext.data() + i * narrow + k, load(from + k, f.size - k));
  }
  if (f.narrow) {
    turnPairs(f, room.values, room.turnedValuePairs);
    packRows(room.dContext.data(), f.length, f.size, room.dContextRows);
    packLines(room.keys.data(), f.length, f.size, room.keyLines);
    packTurnedLines(room.queries.data(), narrow, f.length, narrow, room.turnedQueryRows.data(), turnedRow);
    packTurnedLines(room.dContext.data(), narrow, f.length, narrow, room.turnedDContextRows.data(), turnedRow);
  } else {
    turn<false>(room.values.data(), narrow, f.length, f.size, room.turnedValues.data(), wide);
  }
  for (int64_t first = 0; first < f.length; first += kHeldRows) {
    const int64_t count = std::min(kHeldRows, f.length - first);
    float *scores = room.scores.data(), *slopes = room.slopes.data();
    const float* dContext = room.dContext.data() + first * narrow;
    scoreRows(f, first, count, room);
    if (f.narrow)
      multiplyPairs(room.dContextRows.data() + first * half, half, room.turnedValuePairs.data(), wide, slopes, wide, count, wide,
                    half, false);
    else
      multiplySmall({dContext, narrow, 1}, room.turnedValues.data(), wide, slopes, wide, count, wide, f.size, false);
    for (int64_t i = 0; i < count; i++) {
      float *row = scores + i * wide, *slope = slopes + i * wide;
      for (int64_t part = 0; part < 3; part++)
        fetchPast(job.dProjected, ((sample * f.length + first + i) * 3 + part) * features + head * f.size, f.size);
      fetchRow(f, item + 1, first + i, {job.dContext, f.narrow ? nullptr : job.context});
      const int64_t place = rowIndex(f, item, first + i);
      const float top = f.stats[2 * place], inverse = f.stats[2 * place + 1];
      if (f.dropout.drops)
        dropoutFactors(f.dropout, f.dropoutPlace(item, first + i), f.length, room.factors.data(), room.numbers.data());
      if (f.narrow) {
        slopesOfPairs(f, top, inverse, row, slope, room);
        continue;
      }
      const float* context = job.context + (sample * f.length + first + i) * features + head * f.size;
      V product{};
      for (int64_t k = 0; k < f.size; k += kLanes)
        product += load(context + k, f.size - k) * load(dContext + i * narrow + k);
      const float mean = sum(product);
      for (int64_t j = 0; j < wide; j += kLanes) {
        const V p = exponential(masked(row, room.mask.data(), j) - top) * inverse;
        V kept = p, d = load(slope + j);
        if (f.dropout.drops) {
          const V factors = load(room.factors.data() + j);
          kept = p * factors;
          d = d * factors;
        }
        store(row + j, kept);
        store(slope + j, p * (d - mean));
      }
    }
    const bool adds = first > 0;
    if (f.narrow) {
      // Values' and keys' gradients are added up transposed, so that scores and slopes need not be.
      const int64_t pairs = heldWidth(count) / 2, at = first / 2;
      packLines(scores, count, f.length, room.scoreLines);
      packLines(slopes, count, f.length, room.slopeLines);
      packRows(slopes, count, f.length, room.slopeRows);
      multiplyPairs(room.turnedDContextRows.data() + at, turnedRow, room.scoreLines.data(), wide, room.turnedDValues.data(), wide,
                    narrow, wide, pairs, adds);
      multiplyPairs(room.turnedQueryRows.data() + at, turnedRow, room.slopeLines.data(), wide, room.turnedDKeys.data(), wide,
                    narrow, wide, pairs, adds);
      multiplyPairs(room.slopeRows.data(), wide / 2, room.keyLines.data(), narrow, room.dQueries.data() + first * narrow, narrow,
                    count, narrow, wide / 2, false);
      continue;
    }
    multiplySmall({scores, 1, wide}, dContext, narrow, room.dValues.data(), narrow, f.length, narrow, count, adds);
    multiplySmall({slopes, 1, wide}, room.queries.data() + first * narrow, narrow, room.dKeys.data(), narrow,
                        f.length, narrow, count, adds);
    multiplySmall({slopes, wide, 1}, room.keys.data(), narrow, room.dQueries.data() + first * narrow, narrow,
                        count, narrow, f.length, false);
  }
  if (f.narrow) {
    turn<false>(room.turnedDValues.data(), wide, narrow, f.length, room.dValues.data(), narrow);
    turn<false>(room.turnedDKeys.data(), wide, narrow, f.length, room.dKeys.data(), narrow);
  }
  putRows(job, sample, head, 0, f.scale, room.dQueries.data());
  // The queries were scaled already.
  putRows(job, sample, head, 1, 1.f, room.dKeys.data());
  putRows(job, sample, head, 2, 1.f, room.dValues.data());
}

