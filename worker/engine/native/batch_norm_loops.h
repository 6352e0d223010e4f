// Loops over images for batch normalisation: statistics in blocks of pixels, then one pass that writes.

// Mean and sum of squared distances of each channel, of blocks `first` to `end`: each block is read from memory once.
static void normStatistics(const NormImages& job, int64_t first, int64_t end) {
  const int64_t channels = job.channels, perImage = job.blocksOfImage();
  for (int64_t block = first; block < end; block++) {
    const int64_t begin = block % perImage * kNormPixels, count = std::min(kNormPixels, job.pixels - begin);
    const float* x = job.x + (block / perImage * job.pixels + begin) * channels;
    float *means = job.parts + block * 2 * channels, *squares = means + channels;
    for (int64_t j = 0; j < channels; j += kLanes) {
      const int64_t n = channels - j;
      V sum{};
      for (int64_t p = 0; p < count; p++) sum += load(x + p * channels + j, n);
      const V mean = sum * (1.f / count);
      V square{};
      for (int64_t p = 0; p < count; p++) {
        const V d = load(x + p * channels + j, n) - mean;
        square += d * d;
      }
      store(means + j, mean, n);
      store(squares + j, square, n);
    }
  }
}

// What is left of the channels' statistics for one pass: z = x · factor + shift.
RM_INLINE void factorOf(const NormImages& job, int64_t j, V* factor, V* shift) {
  const int64_t n = job.channels - j;
  *factor = load(job.inverse + j, n) * load(job.scale + j, n);
  *shift = load(job.bias + j, n) - load(job.mean + j, n) * *factor;
}

// Images `first` to `end` of blocks.
static void normImages(const NormImages& job, int64_t first, int64_t end) {
  const int64_t channels = job.channels, perImage = job.blocksOfImage();
  for (int64_t block = first; block < end; block++) {
    const int64_t begin = block % perImage * kNormPixels, count = std::min(kNormPixels, job.pixels - begin);
    const int64_t at = (block / perImage * job.pixels + begin) * channels;
    for (int64_t j = 0; j < channels; j += kLanes) {
      const int64_t n = channels - j;
      V factor, shift;
      factorOf(job, j, &factor, &shift);
      for (int64_t i = at + j; i < at + count * channels; i += channels) {
        V z = load(job.x + i, n) * factor + shift;
        if (job.residual != nullptr) z = z + load(job.residual + i, n);
        store(job.y + i, job.relu ? larger(z, V{}) : z, n);
      }
    }
  }
}

// The gradient behind the ReLU; x is the input's value there.
RM_INLINE V passed(const NormImagesGradient& job, int64_t i, int64_t n, V x, V factor, V shift) {
  const V dy = load(job.dy + i, n);
  if (!job.forward.relu) return dy;
  const V z = job.forward.residual == nullptr ? x * factor + shift : load(job.y + i, n);
  return z > V{} ? dy : V{};
}

// Sums of g and of g · n of each block, n being the normalised input.
static void normGradientSums(const NormImagesGradient& job, int64_t first, int64_t end) {
  const auto& given = job.forward;
  const int64_t channels = given.channels, perImage = given.blocksOfImage();
  for (int64_t block = first; block < end; block++) {
    const int64_t begin = block % perImage * kNormPixels, count = std::min(kNormPixels, given.pixels - begin);
    const int64_t at = (block / perImage * given.pixels + begin) * channels;
    float* part = job.parts + block * 2 * channels;
    for (int64_t j = 0; j < channels; j += kLanes) {
      const int64_t n = channels - j;
      V factor, shift, plainSum{}, product{};
      factorOf(given, j, &factor, &shift);
      const V mean = load(given.mean + j, n), inverse = load(given.inverse + j, n);
      for (int64_t i = at + j; i < at + count * channels; i += channels) {
        const V x = load(given.x + i, n), g = passed(job, i, n, x, factor, shift);
        plainSum += g;
        product += g * ((x - mean) * inverse);
      }
      store(part + j, plainSum, n);
      store(part + channels + j, product, n);
    }
  }
}

static void normGradientImages(const NormImagesGradient& job, int64_t first, int64_t end) {
  const auto& given = job.forward;
  const int64_t channels = given.channels, perImage = given.blocksOfImage();
  for (int64_t block = first; block < end; block++) {
    const int64_t row = block / perImage;
    const int64_t begin = block % perImage * kNormPixels, count = std::min(kNormPixels, given.pixels - begin);
    const int64_t at = (row * given.pixels + begin) * channels;
    const float share = given.rowWeights[row] / job.count;
    for (int64_t j = 0; j < channels; j += kLanes) {
      const int64_t n = channels - j;
      V factor, shift;
      factorOf(given, j, &factor, &shift);
      const V mean = load(given.mean + j, n), inverse = load(given.inverse + j, n);
      const V constant = load(job.sums + j, n) * share, slope = load(job.sums + channels + j, n) * share;
      for (int64_t i = at + j; i < at + count * channels; i += channels) {
        const V x = load(given.x + i, n), g = passed(job, i, n, x, factor, shift);
        if (job.dResidual != nullptr) store(job.dResidual + i, g, n);
        store(job.dx + i, (g - constant - (x - mean) * inverse * slope) * factor, n);
      }
    }
  }
}
