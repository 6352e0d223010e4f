#pragma once
// What the loops are given: plain values and pointers, the same for every instruction set that they are compiled for.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <initializer_list>
#include <memory>
#include <new>
#include <vector>

namespace ringmaster {

// Rows in a thread's room are as long as the widest register allows for.
constexpr int64_t kMostLanes = 16;
// Random numbers made at a time by the widest register: sixteen counters, four words each.
constexpr int64_t kNumbers = 128;
// Rows whose column sums are added on one thread; blocks are then added in order, so that bits do not depend on threads.
constexpr int64_t kBlockRows = 32;
// Rows of scores that are held at a time.
constexpr int64_t kHeldRows = 64;

inline int64_t padded(int64_t n) { return (n + kMostLanes - 1) / kMostLanes * kMostLanes; }
// As wide as two rows of a tile, in either of its dimensions.
inline int64_t tilePadded(int64_t n) { return (n + 2 * kMostLanes - 1) / (2 * kMostLanes) * (2 * kMostLanes); }

// Room that begins with a line of the cache, so that no register of it lies in two.
template <class T>
struct LineAllocator {
  using value_type = T;
  LineAllocator() = default;
  template <class Other>
  LineAllocator(const LineAllocator<Other>&) {}
  T* allocate(size_t count) { return static_cast<T*>(::operator new(count * sizeof(T), std::align_val_t(64))); }
  void deallocate(T* p, size_t) { ::operator delete(p, std::align_val_t(64)); }
  bool operator==(const LineAllocator&) const { return true; }
  bool operator!=(const LineAllocator&) const { return false; }
};
template <class T>
using Held = std::vector<T, LineAllocator<T>>;

// The same for what is written before it is read.
template <class T>
class Room {
  T* data_;

 public:
  explicit Room(int64_t count) : data_(LineAllocator<T>().allocate(count)) {}
  ~Room() { LineAllocator<T>().deallocate(data_, 0); }
  Room(const Room&) = delete;
  T* get() const { return data_; }
};

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

// Where a result is put: as floats, or rounded to bfloat16 where only products read it that would round it so.
struct Result {
  float* wide = nullptr;
  uint16_t* narrow = nullptr;

  Result(float* wide) : wide(wide) {}
  Result(uint16_t* narrow) : narrow(narrow) {}
  // From element `start` on.
  Result from(int64_t start) const { return narrow == nullptr ? Result(wide + start) : Result(narrow + start); }
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
  // What is added to dy; null for nothing.
  const float *dy, *more;
  const float *normed, *inverse, *gain;
  // dx and dresidual are one array where nothing is dropped; dx alone may be narrow.
  Result dx;
  float* dresidual;
  // Column sums of each block of rows: of dx, dy · normed, dy.
  float* parts;
};

struct GeluRows {
  int64_t rows, features;
  const float *x, *bias, *dy;
  Result out;
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
  // Whether what is multiplied is rounded to bfloat16.
  bool narrow;
  // Of packed sequences: all tokens, and the first of this one. Probabilities are then dropped out as those of all tokens to all others.
  int64_t tokens = 0, start = 0;

  int64_t features() const { return heads * size; }
  // Place of a row's first probability in the tensor of which elements are dropped out.
  int64_t dropoutPlace(int64_t item, int64_t row) const {
    return tokens == 0 ? (item * length + row) * length : (item * tokens + start + row) * tokens + start;
  }
};

// One thread's room. Rows and columns are padded, to size' and length'.
struct AttentionRoom {
  // Scaled queries [length][size'], values and keys [length][size'], keys and values transposed [size'][length'].
  Held<float> queries, keys, values, turnedKeys, turnedValues;
  Held<float> mask, scores, slopes, factors;
  // Of values and keys also transposed, [size'][length'].
  Held<float> dContext, dQueries, dKeys, dValues, turnedDKeys, turnedDValues;
  std::vector<int16_t> numbers;
  // The same in pairs of bfloat16, where they are multiplied so: row by row (two columns to a word), line by line of two rows,
  // transposed (a word to two columns of what was a row), and transposed row by row (a word to two rows).
  Held<uint32_t> queryRows, dContextRows, scoreRows, slopeRows;
  Held<uint32_t> keyLines, valueLines, scoreLines, slopeLines;
  Held<uint32_t> turnedKeyPairs, turnedValuePairs, turnedQueryRows, turnedDContextRows;

  AttentionRoom(int64_t length, int64_t size, bool pairs) {
    const int64_t wide = tilePadded(length), narrow = tilePadded(size);
    for (auto* rows : {&queries, &keys, &values, &dContext, &dQueries, &dKeys, &dValues, &turnedKeys, &turnedValues})
      rows->assign(wide * narrow, 0.f);
    mask.assign(wide, -1e30f);
    for (auto* held : {&scores, &slopes}) held->assign(kHeldRows * wide, 0.f);
    factors.assign(wide + kMostLanes, 0.f);
    numbers.assign(wide + 2 * kNumbers, 0);
    if (!pairs) return;
    for (auto* turned : {&turnedDKeys, &turnedDValues}) turned->assign(wide * narrow, 0.f);
    for (auto* rows : {&queryRows, &dContextRows, &keyLines, &valueLines, &turnedKeyPairs, &turnedValuePairs, &turnedQueryRows,
                       &turnedDContextRows})
      rows->assign(wide * narrow / 2 + kMostLanes, 0);
    for (auto* held : {&scoreRows, &slopeRows, &scoreLines, &slopeLines}) held->assign(kHeldRows * wide / 2 + kMostLanes, 0);
  }
};

// For each sequence and head: softmax(query · rowsᵀ), dropped out, times [rows | 1], over the sequence's rows.
struct MixJob {
  int64_t heads, features, tokens;
  Dropout dropout;
  // [sequences, heads, features], and [tokens, features].
  const float *queries, *rows;
  // [sequences, heads, features + 1].
  float* mixed;
};

struct MixGradientJob {
  MixJob forward;
  // Of what was mixed.
  const float* slopes;
  // [sequences, heads, features], and [tokens, features].
  float *dQueries, *dRows;
};

// One thread's room: a sequence's rows [length][features'], turned [features'][length'], and what is made of them by head.
struct MixRoom {
  Held<float> rows, turned, scores, kept, slopes, heads, queries, result, factors;
  std::vector<int16_t> numbers;
};

// Rows of three tables, looked up for each token and added.
struct EmbedJob {
  int64_t features;
  const float *words, *positions, *types;
  const int32_t *place, *position, *type;
  float* rows;
};

// Rows of a gradient added up by the place that each has in the result, in their order; places below zero are left out.
struct RowSumsJob {
  int64_t rows, features, places;
  const float* dy;
  const int32_t* place;
  // [places, features].
  float* sums;
};

struct AttentionGradientJob {
  AttentionJob forward;
  const float *dContext, *context;
  // [batch · length, 3 · features], and its column sums by sample, [batch][3 · features].
  Result dProjected;
  float* parts;
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
      : spread(new float[16 * (job.tilesHeld * job.inputs + kMostLanes)]),
        products(new float[16 * (job.tilesHeld * 64 + kMostLanes)]),
        zeros(new float[job.inputs + kMostLanes]()) {}
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

// c[rows, columns] = a[rows, depth] · b[depth, columns]; an operand that is turned lies in memory the other way round.
struct ProductJob {
  int64_t rows, columns, depth;
  bool turnedA, turnedB;
  const float *a, *b;
  float* c;
  // Operands that are bfloat16 already, in the place of a and b; else null.
  const uint16_t *narrowA = nullptr, *narrowB = nullptr;
};

// Columns that a part of a product is made up of, and rows that are packed together for products of bfloat16, whatever the
// instruction set's tiles.
constexpr int64_t kProductUnit = 64, kNarrowRows = 48;

// A product of operands rounded to bfloat16, and room for them, two depths to a word.
struct NarrowProductJob {
  ProductJob product;
  uint32_t *left, *right;

  int64_t pairs() const { return (product.depth + 1) / 2; }
  // A line's room: a register that is written whole reaches into no other line, which another thread may have packed already.
  int64_t heldPairs() const { return (pairs() + kMostLanes - 1) / kMostLanes * kMostLanes; }
  // Whether a can be read where it lies: lines of whole pairs, or of whole tiles, that are bfloat16 already.
  bool readsRows(bool inTiles) const {
    if (product.narrowA == nullptr || product.turnedA) return false;
    return inTiles ? product.depth % (2 * kMostLanes) == 0 && product.rows % kMostLanes == 0 : product.depth % 2 == 0;
  }
  int64_t groups() const { return (product.rows + kNarrowRows - 1) / kNarrowRows; }
  int64_t units() const { return (product.columns + kProductUnit - 1) / kProductUnit; }
  // Behind each there is room for a register.
  int64_t leftWords() const { return groups() * kNarrowRows * heldPairs() + kMostLanes; }
  int64_t rightWords() const { return units() * kProductUnit * heldPairs() + kMostLanes; }
};

// The part of c that one thread computes.
struct ProductPart {
  int64_t firstRow, endRow, firstColumn, endColumn;
};

// Elements that AdamW passes over together where it can: most rows of an embedding are some of these.
constexpr int64_t kAdamChunk = 128;

struct AdamRange {
  const float* weights;
  // New weights; may be the memory of the weights, or of the gradient.
  float *out, *first, *second;
  const float* gradient;
  float rate, epsilon, scale, kept, beta1, beta2;
  // Whether the weights have come out of this before. To multiply them by 1 then changes no bit: what was denormal is 0 since.
  bool settled;
  // Of each chunk of either moment whether it may have anything but zeros; null where that is not known.
  uint8_t *firstMarks = nullptr, *secondMarks = nullptr;

  bool hasMarks() const { return firstMarks != nullptr && secondMarks != nullptr; }
};

}  // namespace ringmaster
