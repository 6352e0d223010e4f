// AdamW of all tensors in one pass over memory: the gradient is read where the reduced vector lies, scaled, and weights and
// moments are brought up to date; the arithmetic is that of ResourceApplyAdam after the decay. What has no gradient and no moments
// is passed over (row_loops.h). Threads share out the elements of all tensors, most of which are too small to be shared out alone.
#pragma once
#include <cmath>
#include "sparse_copy.h"
#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

namespace ringmaster {

REGISTER_OP("RingmasterAdamW")
    .Input("weights: count * resource").Input("first_moments: count * resource").Input("second_moments: count * resource")
    .Input("reduced: float").Input("learning_rate: float").Input("epsilon: float").Input("scale: float")
    .Input("decay: float").Input("settled: float")
    .Attr("count: int").Attr("offsets: list(int)").Attr("shrinks: list(int)").Attr("beta1: float").Attr("beta2: float")
    .SetIsStateful()
    .SetShapeFn([](Inference*) { return absl::OkStatus(); });

// The variable's own memory; a copy takes its place where a reader still holds it.
inline absl::Status ownVariable(OpKernelContext* context, int input,
                                tensorflow::core::RefCountPtr<tensorflow::Var>* variable, float** data) {
  TF_RETURN_IF_ERROR(tensorflow::LookupResource(context, tensorflow::HandleFromInput(context, input), variable));
  Tensor* tensor = (*variable)->tensor();
  if (!tensor->RefCountIsOne()) {
    Tensor copy;
    TF_RETURN_IF_ERROR(context->allocate_temp(tensor->dtype(), tensor->shape(), &copy));
    std::memcpy(copy.flat<float>().data(), tensor->flat<float>().data(), tensor->TotalBytes());
    *tensor = copy;
  }
  *data = tensor->flat<float>().data();
  return absl::OkStatus();
}

// Marks of what is a sparse copy, else null.
inline uint8_t* marksOf(tensorflow::Var* variable) {
  auto* sparse = dynamic_cast<SparseBuffer*>(tensorflow::DMAHelper::buffer(variable->tensor()));
  return sparse == nullptr ? nullptr : sparse->marks();
}

// Tensors, or parts of them, that are updated together.
class AdamRanges {
  std::vector<AdamRange> jobs_;
  std::vector<int64_t> sizes_;
  // The chunk with which each begins when those of all are counted, and how many there are.
  std::vector<int64_t> firstChunks_{0};

  void updateChunks(int64_t first, int64_t end) const {
    auto range = std::upper_bound(firstChunks_.begin(), firstChunks_.end(), first) - firstChunks_.begin() - 1;
    for (; first < end; range++) {
      const int64_t origin = firstChunks_[range], stop = std::min(end, firstChunks_[range + 1]);
      if (stop > first)
        RM_CALL(adamRange, jobs_[range], (first - origin) * kAdamChunk, std::min(sizes_[range], (stop - origin) * kAdamChunk));
      first = stop;
    }
  }

 public:
  void add(const AdamRange& job, int64_t size) {
    jobs_.push_back(job);
    sizes_.push_back(size);
    firstChunks_.push_back(firstChunks_.back() + (size + kAdamChunk - 1) / kAdamChunk);
  }
  void update(OpKernelContext* context) const {
    inParallel(context, firstChunks_.back(), 192, [&](int64_t first, int64_t end) { updateChunks(first, end); });
  }
};

class AdamW : public OpKernel {
  float beta1_, beta2_;
  std::vector<tensorflow::int64> offsets_, shrinks_;

 public:
  explicit AdamW(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("beta1", &beta1_));
    OP_REQUIRES_OK(context, context->GetAttr("beta2", &beta2_));
    OP_REQUIRES_OK(context, context->GetAttr("offsets", &offsets_));
    OP_REQUIRES_OK(context, context->GetAttr("shrinks", &shrinks_));
    OP_REQUIRES(context, offsets_.size() == shrinks_.size() && context->num_inputs() == 3 * static_cast<int>(offsets_.size()) + 6,
                tensorflow::errors::InvalidArgument("there is not an offset and a decay to each tensor"));
  }
  void Compute(OpKernelContext* context) override {
    const int count = static_cast<int>(offsets_.size());
    const Tensor& reduced = context->input(3 * count);
    const auto scalar = [&](int input) { return *floats(context, 3 * count + input); };
    std::vector<tensorflow::core::RefCountPtr<tensorflow::Var>> variables(3 * count);
    AdamRanges ranges;
    for (int i = 0; i < count; i++) {
      float* data[3];
      for (int kind = 0; kind < 3; kind++) {
        const int input = kind * count + i;
        OP_REQUIRES_OK(context, ownVariable(context, input, &variables[input], &data[kind]));
      }
      const int64_t size = variables[i]->tensor()->NumElements();
      OP_REQUIRES(context, offsets_[i] + size <= reduced.NumElements(),
                  tensorflow::errors::InvalidArgument("the reduced vector ends within a gradient"));
      ranges.add({data[0], data[0], data[1], data[2], reduced.flat<float>().data() + offsets_[i], scalar(1), scalar(2), scalar(3),
                  shrinks_[i] ? 1 - scalar(4) : 1.f, beta1_, beta2_, scalar(5) != 0, marksOf(variables[count + i].get()),
                  marksOf(variables[2 * count + i].get())},
                 size);
    }
    ranges.update(context);
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterAdamW").Device(tensorflow::DEVICE_CPU), AdamW);

}  // namespace ringmaster
