// TensorFlow's threads for kernels of our own, and their inputs as plain arrays.
#pragma once
#include <algorithm>
#include "jobs.h"
#include "shared_work.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/platform/threadpool.h"

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
// An input that is bfloat16 already; null where it is floats.
inline const uint16_t* halves(OpKernelContext* context, int input) {
  const Tensor& tensor = context->input(input);
  if (tensor.dtype() != tensorflow::DT_BFLOAT16) return nullptr;
  return reinterpret_cast<const uint16_t*>(tensor.flat<tensorflow::bfloat16>().data());
}
inline Result resultOf(Tensor* tensor) {
  if (tensor->dtype() != tensorflow::DT_BFLOAT16) return tensor->flat<float>().data();
  return reinterpret_cast<uint16_t*>(tensor->flat<tensorflow::bfloat16>().data());
}
inline const int32_t* integers(OpKernelContext* context, int input) {
  return context->input(input).flat<tensorflow::int32>().data();
}

// About how many nanoseconds of work are worth another thread, and how many a part has at least.
constexpr int64_t kWorthAThread = 20000, kPartCost = 10000;

// Calls body(first, end) over parts of 0 … count on the device's threads. Who calls works too, from the front while every other
// thread begins at the back, so that what one kernel has written the next one mostly finds in the same core's cache.
// TensorFlow's own Shard sends the caller to sleep, and has to wake it after each of hundreds of kernels.
// @param cost of one item, in about nanoseconds
template <class Body>
void inParallel(OpKernelContext* context, int64_t count, int64_t cost, const Body& body) {
  const auto& workers = *context->device()->tensorflow_cpu_worker_threads();
  const int64_t worth = count * std::max<int64_t>(1, cost) / kWorthAThread;
  const int64_t threads = std::min({(int64_t)workers.num_threads, count, worth});
  if (threads <= 1) {
    if (count > 0) body(0, count);
    return;
  }
  const auto run = [](const void* all, int64_t first, int64_t end) { (*static_cast<const Body*>(all))(first, end); };
  const int64_t least = std::max<int64_t>(1, kPartCost / std::max<int64_t>(1, cost));
  // A helper that comes too late finds nothing left, and must not find the memory gone.
  const auto work = std::make_shared<SharedWork>(SharedWork::Body{run, &body}, count, threads, least);
  for (int64_t helper = 1; helper < threads; helper++)
    workers.workers->Schedule([work, helper] { work->help(helper % 2 == 1); });
  work->help(false);
  work->wait();
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
// A result that may be narrow: the op's attribute says which.
#define RM_RESULT(CONTEXT, INDEX, SHAPE, NAME)                                       \
  Tensor* NAME##_tensor = nullptr;                                                   \
  OP_REQUIRES_OK(CONTEXT, CONTEXT->allocate_output(INDEX, SHAPE, &NAME##_tensor));   \
  const ringmaster::Result NAME = ringmaster::resultOf(NAME##_tensor);
#define RM_WIDTH(NAME) Attr(NAME ": {float, bfloat16} = DT_FLOAT")
