// TensorFlow's threads for kernels of our own, and their inputs as plain arrays.
#pragma once
#include <algorithm>
#include "jobs.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace ringmaster {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using Inference = tensorflow::shape_inference::InferenceContext;

inline const float* floats(OpKernelContext* context, int input) {
  return context->input(input).flat<float>().data();
}
inline const int32_t* integers(OpKernelContext* context, int input) {
  return context->input(input).flat<tensorflow::int32>().data();
}

// Calls body(first, end) over parts of 0 … count on the device's threads. @param cost of one item, in about nanoseconds
template <class Body>
void inParallel(OpKernelContext* context, int64_t count, int64_t cost, const Body& body) {
  auto workers = *context->device()->tensorflow_cpu_worker_threads();
  tensorflow::Shard(workers.num_threads, workers.workers, count, cost,
                    [&body](int64_t first, int64_t end) { body(first, end); });
}

inline void addBlocks(const float* parts, int64_t blocks, int64_t width, float* sums) {
  std::fill(sums, sums + width, 0.f);
  for (int64_t block = 0; block < blocks; block++)
    for (int64_t j = 0; j < width; j++) sums[j] += parts[block * width + j];
}

inline int64_t blocksOf(int64_t rows) { return (rows + kBlockRows - 1) / kBlockRows; }

}  // namespace ringmaster

#define RM_OUTPUT(CONTEXT, INDEX, SHAPE, NAME)                                       \
  Tensor* NAME##_tensor = nullptr;                                                   \
  OP_REQUIRES_OK(CONTEXT, CONTEXT->allocate_output(INDEX, SHAPE, &NAME##_tensor));   \
  float* NAME = NAME##_tensor->flat<float>().data();
