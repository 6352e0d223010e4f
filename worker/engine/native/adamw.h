// AdamW of one tensor in one pass over memory: the gradient is read where the reduced vector lies, scaled, and weights and
// moments are brought up to date; the arithmetic is that of ResourceApplyAdam after the decay. What has no gradient and no moments
// is passed over (row_loops.h).
#pragma once
#include <cmath>
#include "sparse_copy.h"
#include "tensorflow/core/common_runtime/dma_helper.h"
#include "tensorflow/core/framework/resource_mgr.h"
#include "tensorflow/core/framework/resource_var.h"

namespace ringmaster {

REGISTER_OP("RingmasterAdamW")
    .Input("weights: resource").Input("first_moment: resource").Input("second_moment: resource")
    .Input("reduced: float").Input("learning_rate: float").Input("epsilon: float").Input("scale: float")
    .Input("decay: float").Input("settled: float")
    .Attr("beta1: float").Attr("beta2: float").Attr("offset: int")
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

class AdamW : public OpKernel {
  float beta1_, beta2_;
  tensorflow::int64 offset_;

 public:
  explicit AdamW(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("beta1", &beta1_));
    OP_REQUIRES_OK(context, context->GetAttr("beta2", &beta2_));
    OP_REQUIRES_OK(context, context->GetAttr("offset", &offset_));
  }
  void Compute(OpKernelContext* context) override {
    tensorflow::core::RefCountPtr<tensorflow::Var> variables[3];
    float* data[3];
    for (int i = 0; i < 3; i++) OP_REQUIRES_OK(context, ownVariable(context, i, &variables[i], &data[i]));
    const auto scalar = [&](int input) { return *floats(context, input); };
    const AdamRange job = {data[0], data[0], data[1], data[2], floats(context, 3) + offset_, scalar(4), scalar(5), scalar(6),
                           1 - scalar(7), beta1_, beta2_, scalar(8) != 0, marksOf(variables[1].get()),
                           marksOf(variables[2].get())};
    const int64_t size = variables[0]->tensor()->NumElements();
    OP_REQUIRES(context, offset_ + size <= context->input(3).NumElements(),
                tensorflow::errors::InvalidArgument("the reduced vector ends within a gradient"));
    const int64_t chunks = (size + kAdamChunk - 1) / kAdamChunk;
    inParallel(context, chunks, 192, [&](int64_t first, int64_t end) {
      RM_CALL(adamRange, job, first * kAdamChunk, std::min(size, end * kAdamChunk));
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterAdamW").Device(tensorflow::DEVICE_CPU), AdamW);

}  // namespace ringmaster
