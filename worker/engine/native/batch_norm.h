// relu(BatchNorm(x) + residual) in two passes over memory, and its gradient in two. x: [rows, height, width, channels].
#pragma once
#include <cmath>
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterBatchNorm")
    .Input("x: float").Input("row_weights: float").Input("scale: float").Input("bias: float").Input("added: float")
    .Attr("epsilon: float").Attr("relu: int").Attr("residual: int")
    .Output("y: float").Output("mean: float").Output("variance: float").Output("inverse: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      for (int i = 1; i < 4; i++) c->set_output(i, c->input(2));
      return absl::OkStatus();
    });

inline NormImages imagesOf(OpKernelContext* context, int input) {
  const auto& shape = context->input(input).shape();
  NormImages job = {};
  job.rows = shape.dim_size(0);
  job.pixels = shape.dim_size(1) * shape.dim_size(2);
  job.channels = shape.dim_size(3);
  job.x = floats(context, input);
  return job;
}

// Weights of the rows that count, times their pixels, at least 1.
inline double countOf(const NormImages& job) {
  double sum = 0;
  for (int64_t row = 0; row < job.rows; row++) sum += job.rowWeights[row];
  return std::max(1.0, sum * job.pixels);
}

// Joins the blocks' statistics in order (Chan, Golub and LeVeque 1979), each block weighted as its row.
inline void joinStatistics(const NormImages& job, float* mean, float* variance) {
  const int64_t channels = job.channels, perImage = job.blocksOfImage();
  std::vector<double> means(channels, 0), squares(channels, 0);
  double total = 0;
  for (int64_t block = 0; block < job.rows * perImage; block++) {
    const double weight = job.rowWeights[block / perImage];
    if (weight == 0) continue;
    const double count = weight * std::min(kNormPixels, job.pixels - block % perImage * kNormPixels);
    const float *part = job.parts + block * 2 * channels, *distances = part + channels;
    const double share = count / (total + count);
    for (int64_t j = 0; j < channels; j++) {
      const double apart = part[j] - means[j];
      means[j] += apart * share;
      squares[j] += distances[j] * weight + apart * apart * total * share;
    }
    total += count;
  }
  const double least = std::max(1.0, total);
  for (int64_t j = 0; j < channels; j++) {
    mean[j] = means[j] * (total / least);
    variance[j] = squares[j] / least;
  }
}

class BatchNorm : public OpKernel {
  float epsilon_;
  int64_t relu_, residual_;

 public:
  explicit BatchNorm(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
    OP_REQUIRES_OK(context, context->GetAttr("residual", &residual_));
  }
  void Compute(OpKernelContext* context) override {
    NormImages job = imagesOf(context, 0);
    const int64_t channels = job.channels, blocks = job.rows * job.blocksOfImage();
    const TensorShape perChannel({channels});
    RM_OUTPUT(context, 0, context->input(0).shape(), y)
    RM_OUTPUT(context, 1, perChannel, mean)
    RM_OUTPUT(context, 2, perChannel, variance)
    RM_OUTPUT(context, 3, perChannel, inverse)
    std::vector<float> parts(blocks * 2 * channels);
    job.relu = relu_ != 0;
    job.residual = residual_ != 0 ? floats(context, 4) : nullptr;
    job.rowWeights = floats(context, 1);
    job.scale = floats(context, 2);
    job.bias = floats(context, 3);
    job.mean = mean;
    job.inverse = inverse;
    job.y = y;
    job.parts = parts.data();
    const int64_t cost = kNormPixels * channels / 2;
    inParallel(context, blocks, cost, [&](int64_t first, int64_t end) { RM_CALL(normStatistics, job, first, end); });
    joinStatistics(job, mean, variance);
    for (int64_t j = 0; j < channels; j++) inverse[j] = 1 / std::sqrt(variance[j] + epsilon_);
    inParallel(context, blocks, cost, [&](int64_t first, int64_t end) { RM_CALL(normImages, job, first, end); });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterBatchNorm").Device(tensorflow::DEVICE_CPU), BatchNorm);

REGISTER_OP("RingmasterBatchNormGradient")
    .Input("dy: float").Input("x: float").Input("y: float").Input("row_weights: float").Input("mean: float")
    .Input("inverse: float").Input("scale: float").Input("bias: float").Attr("relu: int").Attr("residual: int")
    .Output("dx: float").Output("dscale: float").Output("dbias: float").Output("dresidual: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      c->set_output(1, c->input(6));
      c->set_output(2, c->input(6));
      c->set_output(3, c->UnknownShape());
      return absl::OkStatus();
    });

class BatchNormGradient : public OpKernel {
  int64_t relu_, residual_;

 public:
  explicit BatchNormGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("relu", &relu_));
    OP_REQUIRES_OK(context, context->GetAttr("residual", &residual_));
  }
  void Compute(OpKernelContext* context) override {
    NormImages given = imagesOf(context, 1);
    const int64_t channels = given.channels, blocks = given.rows * given.blocksOfImage();
    const TensorShape perChannel({channels}), &whole = context->input(1).shape();
    given.relu = relu_ != 0;
    // Only whether there was one counts here.
    given.residual = residual_ != 0 ? floats(context, 2) : nullptr;
    given.rowWeights = floats(context, 3);
    given.mean = floats(context, 4);
    given.inverse = floats(context, 5);
    given.scale = floats(context, 6);
    given.bias = floats(context, 7);
    RM_OUTPUT(context, 0, whole, dx)
    RM_OUTPUT(context, 1, perChannel, dscale)
    RM_OUTPUT(context, 2, perChannel, dbias)
    RM_OUTPUT(context, 3, residual_ != 0 ? whole : TensorShape({0}), dresidual)
    std::vector<float> parts(blocks * 2 * channels), sums(2 * channels);
    const NormImagesGradient job = {given, floats(context, 0), floats(context, 2), sums.data(), (float)countOf(given), dx,
                                    residual_ != 0 ? dresidual : nullptr, parts.data()};
    const int64_t cost = kNormPixels * channels / 2;
    inParallel(context, blocks, cost, [&](int64_t first, int64_t end) { RM_CALL(normGradientSums, job, first, end); });
    std::vector<double> totals(2 * channels, 0);
    for (int64_t block = 0; block < blocks; block++)
      for (int64_t j = 0; j < 2 * channels; j++) totals[j] += parts[block * 2 * channels + j];
    std::copy(totals.begin(), totals.end(), sums.begin());
    std::copy(sums.begin(), sums.begin() + channels, dbias);
    std::copy(sums.begin() + channels, sums.end(), dscale);
    inParallel(context, blocks, cost, [&](int64_t first, int64_t end) { RM_CALL(normGradientImages, job, first, end); });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterBatchNormGradient").Device(tensorflow::DEVICE_CPU), BatchNormGradient);

}  // namespace ringmaster
