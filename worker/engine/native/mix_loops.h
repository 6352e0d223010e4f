// softmax(queries · rowsᵀ), dropped out, times [rows | 1] of one sequence, all heads at a time, and its gradient: rows are read once, and
// scores stay in the cache.
// A sequence's rows and their transpose, and its probabilities, [heads][length'], with what dropout makes of them.
RM_INLINE void takeMix(const MixJob& job, int64_t sequence, int64_t start, int64_t length, MixRoom& room) {
  const int64_t features = job.features, wide = heldWidth(length), narrow = heldWidth(features);
  room.rows.assign(length * narrow, 0.f);
  for (int64_t i = 0; i < length; i++)
    std::memcpy(room.rows.data() + i * narrow, job.rows + (start + i) * features, features * sizeof(float));
  room.turned.assign(narrow * wide, 0.f);
  turn<false>(room.rows.data(), narrow, length, features, room.turned.data(), wide);
  room.scores.assign(job.heads * wide, 0.f);
  const float* queries = job.queries + sequence * job.heads * features;
  multiplySmall(Operand<float>{queries, features, 1}, room.turned.data(), wide, room.scores.data(), wide, job.heads, wide, features,
                false);
  room.factors.assign(job.heads * wide + kMostLanes, 1.f);
  room.numbers.resize(wide + 2 * kNumbers);
  room.kept.assign(job.heads * wide, 0.f);
  for (int64_t head = 0; head < job.heads; head++) {
    float *row = room.scores.data() + head * wide, *kept = room.kept.data() + head * wide, *factors = room.factors.data() + head * wide;
    std::fill(row + length, row + wide, -1e30f);
    const float inverse = exponentials(row, nullptr, wide).inverse;
    if (job.dropout.drops)
      dropoutFactors(job.dropout, (sequence * job.heads + head) * job.tokens + start, length, factors, room.numbers.data());
    for (int64_t j = 0; j < wide; j += kLanes) {
      const V p = load(row + j) * inverse;
      store(row + j, p);
      store(kept + j, p * load(factors + j));
    }
  }
}

static void mix(const MixJob& job, int64_t sequence, int64_t start, int64_t length, MixRoom& room) {
  const int64_t features = job.features, wide = heldWidth(length), narrow = heldWidth(features);
  float* out = job.mixed + sequence * job.heads * (features + 1);
  std::fill(out, out + job.heads * (features + 1), 0.f);
  if (length == 0) return;
  takeMix(job, sequence, start, length, room);
  room.result.assign(job.heads * narrow, 0.f);
  multiplySmall(Operand<float>{room.kept.data(), wide, 1}, room.rows.data(), narrow, room.result.data(), narrow, job.heads, narrow,
                length, false);
  for (int64_t head = 0; head < job.heads; head++) {
    float* to = out + head * (features + 1);
    std::memcpy(to, room.result.data() + head * narrow, features * sizeof(float));
    V total{};
    for (int64_t j = 0; j < wide; j += kLanes) total += load(room.kept.data() + head * wide + j);
    to[features] = sum(total);
  }
}

// With P the probabilities, D the dropout factors, g = [gᵣ | g₁] the slope of what was mixed: dP = D∘(gᵣ·rowsᵀ + g₁),
// dS = P∘(dP − Σ P∘dP), dQueries = dS·rows, dRows = (P∘D)ᵀ·gᵣ + dSᵀ·queries.
static void mixGradient(const MixGradientJob& job, int64_t sequence, int64_t start, int64_t length, MixRoom& room) {
  const MixJob& f = job.forward;
  const int64_t features = f.features, heads = f.heads, wide = heldWidth(length), narrow = heldWidth(features);
  float* dQueries = job.dQueries + sequence * heads * features;
  if (length == 0) {
    std::fill(dQueries, dQueries + heads * features, 0.f);
    return;
  }
  takeMix(f, sequence, start, length, room);
  room.heads.assign(heads * narrow, 0.f);
  room.queries.assign(heads * narrow, 0.f);
  const float *slopes = job.slopes + sequence * heads * (features + 1), *queries = f.queries + sequence * heads * features;
  for (int64_t head = 0; head < heads; head++) {
    std::memcpy(room.heads.data() + head * narrow, slopes + head * (features + 1), features * sizeof(float));
    std::memcpy(room.queries.data() + head * narrow, queries + head * features, features * sizeof(float));
  }
  room.slopes.assign(heads * wide, 0.f);
  multiplySmall(Operand<float>{room.heads.data(), narrow, 1}, room.turned.data(), wide, room.slopes.data(), wide, heads, wide, features,
                false);
  for (int64_t head = 0; head < heads; head++) {
    const float *p = room.scores.data() + head * wide, *factors = room.factors.data() + head * wide;
    float* slope = room.slopes.data() + head * wide;
    const float ofOnes = slopes[head * (features + 1) + features];
    V product{};
    for (int64_t j = 0; j < wide; j += kLanes) {
      const V d = (load(slope + j) + ofOnes) * load(factors + j);
      product += load(p + j) * d;
      store(slope + j, d);
    }
    const float mean = sum(product);
    for (int64_t j = 0; j < wide; j += kLanes) store(slope + j, load(p + j) * (load(slope + j) - mean));
  }
  room.result.assign(std::max(heads, length) * narrow, 0.f);
  multiplySmall(Operand<float>{room.slopes.data(), wide, 1}, room.rows.data(), narrow, room.result.data(), narrow, heads, narrow,
                length, false);
  for (int64_t head = 0; head < heads; head++)
    std::memcpy(dQueries + head * features, room.result.data() + head * narrow, features * sizeof(float));
  multiplySmall(Operand<float>{room.kept.data(), 1, wide}, room.heads.data(), narrow, room.result.data(), narrow, length, narrow, heads,
                false);
  multiplySmall(Operand<float>{room.slopes.data(), 1, wide}, room.queries.data(), narrow, room.result.data(), narrow, length, narrow,
                heads, true);
  for (int64_t i = 0; i < length; i++)
    std::memcpy(job.dRows + (start + i) * features, room.result.data() + i * narrow, features * sizeof(float));
}

// Columns first to end.
static void rowSums(const RowSumsJob& job, int64_t first, int64_t end) {
  for (int64_t i = 0; i < job.places; i++) std::fill(job.sums + i * job.features + first, job.sums + i * job.features + end, 0.f);
  for (int64_t i = 0; i < job.rows; i++) {
    const int64_t place = job.place[i];
    if (place < 0 || place >= job.places) continue;
    const float* from = job.dy + i * job.features;
    float* to = job.sums + place * job.features;
    for (int64_t j = first; j < end; j += kLanes) store(to + j, load(to + j, end - j) + load(from + j, end - j), end - j);
  }
}
