// Loops over rows: LayerNorm, Gelu, dropout, AdamW, each with its gradient where it has one.
static void normRows(const NormRows& job, int64_t first, int64_t end, float* factors, int16_t* numbers) {
  const int64_t h = job.features;
  for (int64_t i = first; i < end; i++) {
    const float *x = job.x + i * h, *residual = job.residual == nullptr ? nullptr : job.residual + i * h;
    float *normed = job.normed + i * h, *y = job.y + i * h;
    if (job.dropout.drops) dropoutFactors(job.dropout, i * h, h, factors, numbers);
    V total{};
    for (int64_t j = 0; j < h; j += kLanes) {
      const int64_t n = h - j;
      fetchAhead(x + j);
      if (residual != nullptr) fetchAhead(residual + j);
      V v = load(x + j, n) + load(job.bias + j, n);
      if (job.dropout.drops) v = v * load(factors + j, n);
      if (residual != nullptr) v = v + load(residual + j, n);
      total += v;
      store(normed + j, v, n);
    }
    const float mean = sum(total) / h;
    V squares{};
    for (int64_t j = 0; j < h; j += kLanes) {
      const V v = firstLanes(load(normed + j, h - j) - mean, h - j);
      squares += v * v;
    }
    const float inverse = 1 / std::sqrt(sum(squares) / h + job.epsilon);
    job.inverse[i] = inverse;
    for (int64_t j = 0; j < h; j += kLanes) {
      const int64_t n = h - j;
      const V v = (load(normed + j, n) - mean) * inverse;
      store(normed + j, v, n);
      store(y + j, v * load(job.gain + j, n) + load(job.shift + j, n), n);
    }
  }
}

// Elements of a vector, or of the sum of two. @param more null for nothing
RM_INLINE V summed(const float* x, const float* more, int64_t at, int64_t n) {
  const V v = load(x + at, n);
  return more == nullptr ? v : v + load(more + at, n);
}

static void normGradient(const NormGradient& job, int64_t firstBlock, int64_t endBlock, float* factors,
                                 int16_t* numbers) {
  const int64_t h = job.features;
  for (int64_t block = firstBlock; block < endBlock; block++) {
    float *dbias = job.parts + block * h * 3, *dgain = dbias + h, *dshift = dgain + h;
    const int64_t end = std::min(job.rows, (block + 1) * kBlockRows);
    for (int64_t i = block * kBlockRows; i < end; i++) {
      const float *dy = job.dy + i * h, *more = job.more == nullptr ? nullptr : job.more + i * h, *normed = job.normed + i * h;
      float* dresidual = job.dresidual + i * h;
      if (job.dropout.drops) dropoutFactors(job.dropout, i * h, h, factors, numbers);
      V total{}, projected{};
      for (int64_t j = 0; j < h; j += kLanes) {
        const int64_t n = h - j;
        fetchAhead(dy + j);
        if (more != nullptr) fetchAhead(more + j);
        fetchAhead(normed + j);
        const V d = summed(dy, more, j, n), z = load(normed + j, n), g = d * load(job.gain + j, n), dz = d * z;
        total += g;
        projected += g * z;
        store(dgain + j, load(dgain + j, n) + dz, n);
        store(dshift + j, load(dshift + j, n) + d, n);
      }
      const float mean = sum(total) / h, slope = sum(projected) / h, inverse = job.inverse[i];
      for (int64_t j = 0; j < h; j += kLanes) {
        const int64_t n = h - j;
        V d = (summed(dy, more, j, n) * load(job.gain + j, n) - mean - load(normed + j, n) * slope) * inverse;
        store(dresidual + j, d, n);
        if (job.dropout.drops) {
          d = d * load(factors + j, n);
          put(job.dx, i * h + j, d, n);
        }
        store(dbias + j, load(dbias + j, n) + d, n);
      }
    }
  }
}

static void embedRows(const EmbedJob& job, int64_t first, int64_t end) {
  const int64_t h = job.features;
  for (int64_t i = first; i < end; i++) {
    const float *word = job.words + job.place[i] * h, *position = job.positions + job.position[i] * h;
    const float* type = job.types + job.type[i] * h;
    for (int64_t j = 0; j < h; j += kLanes)
      store(job.rows + i * h + j, load(word + j, h - j) + load(position + j, h - j) + load(type + j, h - j), h - j);
  }
}

// Φ(x) and φ(x)·√(2π) = e^(−x²/2). erf after Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7), whose exponential is
// the density's.
RM_INLINE V normalCdf(V x, V* bell) {
  const V a = (x < V{} ? -x : x) * 0.70710678f;
  const V t = 1.f / (1.f + 0.3275911f * a);
  V p = all(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  *bell = exponential(x * x * -0.5f);
  const V tail = 0.5f * p * t * *bell;
  return x < V{} ? tail : 1.f - tail;
}

static void geluRows(const GeluRows& job, int64_t first, int64_t end) {
  const int64_t h = job.features;
  for (int64_t i = first; i < end; i++) {
    for (int64_t j = 0; j < h; j += kLanes) {
      const int64_t n = h - j, at = i * h + j;
      fetchAhead(job.x + at);
      const V x = load(job.x + at, n) + load(job.bias + j, n);
      V bell;
      put(job.out, at, x * normalCdf(x, &bell), n);
    }
  }
}

static void geluGradient(const GeluRows& job, int64_t firstBlock, int64_t endBlock) {
  const int64_t h = job.features;
  for (int64_t block = firstBlock; block < endBlock; block++) {
    float* dbias = job.parts + block * h;
    const int64_t end = std::min(job.rows, (block + 1) * kBlockRows);
    for (int64_t i = block * kBlockRows; i < end; i++) {
      for (int64_t j = 0; j < h; j += kLanes) {
        const int64_t n = h - j, at = i * h + j;
        fetchAhead(job.x + at);
        fetchAhead(job.dy + at);
        const V x = load(job.x + at, n) + load(job.bias + j, n);
        V bell;
        const V phi = normalCdf(x, &bell);
        const V d = load(job.dy + at, n) * (phi + x * bell * 0.39894228f);
        put(job.out, at, d, n);
        store(dbias + j, load(dbias + j, n) + d, n);
      }
    }
  }
}

// @param more what is added to x; null for nothing
static void dropRange(const Dropout& dropout, const float* x, const float* more, float* y, int64_t begin, int64_t end) {
  float factors[kNumbers + kMostLanes];
  int16_t numbers[3 * kNumbers];
  for (int64_t i = begin; i < end; i += kNumbers) {
    const int64_t count = std::min(kNumbers, end - i);
    dropoutFactors(dropout, i, count, factors, numbers);
    for (int64_t j = 0; j < count; j += kLanes)
      store(y + i + j, summed(x, more, i + j, count - j) * load(factors + j), count - j);
  }
}

RM_INLINE V squareRoot(V x) {
  float a[kLanes];
  std::memcpy(a, &x, sizeof x);
  for (int i = 0; i < kLanes; i++) a[i] = std::sqrt(a[i]);
  return load(a);
}

// Brings the moments of a register up to date; gives what is taken off its weights.
RM_INLINE V adamStep(const AdamRange& job, V gradient, V* m, V* v) {
  const V g = gradient * job.scale;
  *m += (g - *m) * (1 - job.beta1);
  *v += (g * g - *v) * (1 - job.beta2);
  return *m * job.rate / (squareRoot(*v) + job.epsilon);
}

// A product that is rounded before anything is added to it, whatever the compiler could do in one instruction.
RM_INLINE V roundedProduct(V product) {
#if defined(__x86_64__)
  asm("" : "+x"(product));
#elif defined(__aarch64__)
  asm("" : "+w"(product));
#else
  asm("" : "+m"(product));
#endif
  return product;
}

RM_INLINE void adamElements(const AdamRange& job, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes) {
    const int64_t n = end - i;
    for (const float* stream : {job.weights, (const float*)job.first, (const float*)job.second, job.gradient}) fetchAhead(stream + i);
    V m = load(job.first + i, n), v = load(job.second + i, n);
    const V step = adamStep(job, load(job.gradient + i, n), &m, &v);
    const V w = roundedProduct(load(job.weights + i, n) * job.kept);
    store(job.first + i, m, n);
    store(job.second + i, v, n);
    store(job.out + i, w - step, n);
  }
}

RM_INLINE bool anyBit(U bits) {
  const L words = (L)bits;
  uint64_t any = 0;
  for (size_t i = 0; i < sizeof(L) / sizeof(uint64_t); i++) any |= words[i];
  return any != 0;
}

// Whether elements without gradient and moments keep moments of 0, and nothing but decay changes their weights. The arithmetic
// itself is asked, for gradients of both signs: an epsilon of 0, or a factor that is not finite, makes a NaN of 0.
static bool zerosStay(const AdamRange& job) {
  U changed{};
  for (const V zero : {V{}, -V{}}) {
    V m{}, v{};
    const V step = adamStep(job, zero, &m, &v);
    changed |= (U)m | (U)v | (U)step;
  }
  return !anyBit(changed);
}

// Whether a chunk has no gradient and no moments. Of moments the bits are asked for, as -0 becomes 0.
RM_INLINE bool isUntouched(const AdamRange& job, int64_t begin) {
  const int64_t chunk = begin / kAdamChunk;
  const bool marked = job.hasMarks();
  if (marked && (job.firstMarks[chunk] | job.secondMarks[chunk]) != 0) return false;
  const auto bits = [&](int64_t i) {
    const U gradient = (U)load(job.gradient + i) << 1;
    return marked ? gradient : gradient | (U)load(job.first + i) | (U)load(job.second + i);
  };
  // Nearly all others are told by their first elements.
  U any = bits(begin);
  if (anyBit(any)) return false;
  for (int64_t i = begin + kLanes; i < begin + kAdamChunk; i += kLanes) any |= bits(i);
  return !anyBit(any);
}

// `begin` is the first element of a chunk.
static void adamRange(const AdamRange& job, int64_t begin, int64_t end) {
  const bool skips = zerosStay(job), writes = job.out != job.weights || job.kept != 1 || !job.settled;
  for (int64_t i = begin; i < end; i += kAdamChunk) {
    const int64_t next = std::min(end, i + kAdamChunk);
    if (!skips || next - i < kAdamChunk || !isUntouched(job, i)) {
      adamElements(job, i, next);
      if (job.hasMarks()) job.firstMarks[i / kAdamChunk] = job.secondMarks[i / kAdamChunk] = 1;
    } else if (writes) {
      for (int64_t j = i; j < next; j += kLanes) store(job.out + j, load(job.weights + j) * job.kept);
    }
  }
}
