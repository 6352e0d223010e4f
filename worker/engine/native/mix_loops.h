// softmax(queries · rowsᵀ) · rows of one sequence, all heads at a time: rows are read once, and scores stay in the cache.
static void mix(const MixJob& job, int64_t sequence, int64_t start, int64_t length, MixRoom& room) {
  const int64_t features = job.features, wide = heldWidth(length), narrow = heldWidth(features);
  const float* queries = job.queries + sequence * job.heads * features;
  float* out = job.mixed + sequence * job.heads * features;
  if (length == 0) {
    std::fill(out, out + job.heads * features, 0.f);
    return;
  }
  room.rows.assign(length * narrow, 0.f);
  for (int64_t i = 0; i < length; i++)
    std::memcpy(room.rows.data() + i * narrow, job.rows + (start + i) * features, features * sizeof(float));
  room.turned.assign(narrow * wide, 0.f);
  turn(room.rows.data(), narrow, length, features, room.turned.data(), wide);
  room.scores.assign(job.heads * wide, 0.f);
  room.mixed.assign(job.heads * narrow, 0.f);
  multiplySmall(Operand<float>{queries, features, 1}, room.turned.data(), wide, room.scores.data(), wide, job.heads, wide, features,
                false);
  for (int64_t head = 0; head < job.heads; head++) {
    float* row = room.scores.data() + head * wide;
    std::fill(row + length, row + wide, -1e30f);
    V most = load(row);
    for (int64_t j = kLanes; j < wide; j += kLanes) most = larger(most, load(row + j));
    const float top = largest(most);
    V total{};
    for (int64_t j = 0; j < wide; j += kLanes) {
      const V e = exponential(load(row + j) - top);
      total += e;
      store(row + j, e);
    }
    const float inverse = 1 / sum(total);
    for (int64_t j = 0; j < wide; j += kLanes) store(row + j, load(row + j) * inverse);
  }
  multiplySmall(Operand<float>{room.scores.data(), wide, 1}, room.rows.data(), narrow, room.mixed.data(), narrow, job.heads, narrow,
                length, false);
  for (int64_t head = 0; head < job.heads; head++)
    std::memcpy(out + head * features, room.mixed.data() + head * narrow, features * sizeof(float));
}
