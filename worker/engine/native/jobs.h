#pragma once
// What the loops are given: plain values and pointers, the same for every instruction set that they are compiled for.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

namespace ringmaster {

typedef float V __attribute__((vector_size(64)));
typedef int32_t I __attribute__((vector_size(64)));
typedef uint32_t U __attribute__((vector_size(64)));
typedef uint64_t L __attribute__((vector_size(64)));
typedef int16_t H __attribute__((vector_size(32)));
constexpr int64_t kLanes = 16;

// Random numbers made at a time: sixteen counters, four words each.
constexpr int64_t kNumbers = 128;
// Rows whose column sums are added on one thread; blocks are then added in order, so that bits do not depend on threads.
constexpr int64_t kBlockRows = 32;
// Rows of scores that are held at a time.
constexpr int64_t kHeldRows = 64;

inline int64_t padded(int64_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

struct RandomKey {
  uint32_t key[2];
  uint32_t counter[2];
};

// Dropout of one rate at one site.
struct Dropout {
  bool drops;
  // An element stays where its number is at least this.
  int32_t threshold;
  // What stays is multiplied by it.
  float scale;
  RandomKey key;
};

struct NormRows {
  int64_t features;
  float epsilon;
  Dropout dropout;
  const float *x, *bias;
  // Absent where nothing is added.
  const float* residual;
  const float *gain, *shift;
  float *y, *normed, *inverse;
};

struct NormGradient {
  int64_t rows, features;
  Dropout dropout;
  const float *dy, *normed, *inverse, *gain;
  // dx and dresidual are one array where nothing is dropped.
  float *dx, *dresidual;
  // Column sums of each block of rows: of dx, dy · normed, dy.
  float* parts;
};

struct GeluRows {
  int64_t rows, features;
  const float *x, *bias, *dy;
  float* out;
  float* parts;
};

struct AttentionJob {
  int64_t batch, length, heads, size;
  float scale;
  // Largest score and 1 ÷ sum of exponentials of each row of scores, [batch · heads · length][2].
  float* stats;
  Dropout dropout;
  // [batch · length, 3 · heads · size]: queries, keys and values side by side, without their biases.
  const float *projected, *bias;
  // Added to the scores, [batch, length].
  const float* mask;

  int64_t features() const { return heads * size; }
};

// One thread's room.
struct AttentionRoom {
  // Scaled queries [length][size'], values and keys [length][size'], keys and values transposed [size][length'].
  std::vector<float> queries, keys, values, turnedKeys, turnedValues;
  std::vector<float> mask, scores, slopes, factors;
  std::vector<float> dContext, dQueries, dKeys, dValues;
  std::vector<int16_t> numbers;
};

struct AttentionGradientJob {
  AttentionJob forward;
  const float *dContext, *context;
  // [batch · length, 3 · features], and its column sums by sample, [batch][3 · features].
  float *dProjected, *parts;
};

// Filters [size, size, inputs, outputs] over images [rows, height, width, inputs]; dy: [rows, outHeight, outWidth, outputs].
struct FilterGradientJob {
  int64_t rows, height, width, inputs, outHeight, outWidth, outputs, size, stride, padding;
  const float *x, *dy;
  // Images are added up in parts, which depend on the shape alone. Sums: [parts][size · size · inputs][columns()].
  int64_t parts;
  float* sums;

  int64_t columns() const { return padded(outputs); }
  int64_t filterRows() const { return size * size * inputs; }
};

// One thread's room.
struct FilterGradientRoom {
  // Padded pieces of images; columns of dy; where each pixel of dy begins to read the pieces.
  std::vector<float> pieces, panel;
  std::vector<int32_t> places;
};

// A convolution by 3 × 3 filters that keeps height and width, in tiles of 2 × 2 outputs.
struct WinogradJob {
  int64_t rows, height, width, inputs, outputs;
  const float* x;
  // Transformed filters, [outputs ÷ kPanel][16][inputs][kPanel].
  const float* filters;
  // The outputs, or for the gradient what comes from there.
  float* y;
  // Tiles that are held at a time.
  int64_t tilesHeld;

  int64_t down() const { return (height + 1) / 2; }
  int64_t across() const { return (width + 1) / 2; }
  int64_t tiles() const { return rows * down() * across(); }
};

// One thread's room: transformed tiles of the input, products or transformed slopes, a pixel outside of the image.
struct WinogradRoom {
  std::unique_ptr<float[]> spread, products, zeros;

  explicit WinogradRoom(const WinogradJob& job)
      : spread(new float[16 * (job.tilesHeld * job.inputs + kLanes)]),
        products(new float[16 * (job.tilesHeld * 64 + kLanes)]),
        zeros(new float[job.inputs + kLanes]()) {}
};

// Pixels of one image whose statistics are added on one thread.
constexpr int64_t kNormPixels = 64;

// Batch normalisation of [rows, pixels, channels], followed by a residual and a ReLU.
struct NormImages {
  int64_t rows, pixels, channels;
  bool relu;
  // Null where nothing is added.
  const float* residual;
  const float *x, *rowWeights, *mean, *inverse, *scale, *bias;
  float* y;
  // Of each block of pixels: its mean and its sum of squared distances from that, [blocks][2][channels].
  float* parts;

  int64_t blocksOfImage() const { return (pixels + kNormPixels - 1) / kNormPixels; }
};

struct NormImagesGradient {
  NormImages forward;
  // `y` is looked at only where a residual was added; `sums`: Σ g and Σ g·n, [2][channels].
  const float *dy, *y, *sums;
  float count;
  float *dx, *dResidual, *parts;
};

struct AdamRange {
  float *weights, *first, *second;
  const float* gradient;
  float rate, epsilon, scale, kept, beta1, beta2;
};

}  // namespace ringmaster
