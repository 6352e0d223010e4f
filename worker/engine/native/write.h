#pragma once
// Writes one tensor to its place in memory that is fed, and then says so: whoever watches the marks may read it while the
// program goes on.
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterWrite")
    .Input("into: float").Input("value: float").Input("marks: int32").Input("ticket: int32")
    .Attr("offset: int").Attr("part: int")
    .SetIsStateful()
    .SetShapeFn([](Inference*) { return absl::OkStatus(); });

class Write : public OpKernel {
  tensorflow::int64 offset_, part_;

 public:
  explicit Write(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("offset", &offset_));
    OP_REQUIRES_OK(context, context->GetAttr("part", &part_));
  }
  // Runs at once where its value was made, before the executor goes on to what takes long.
  bool IsExpensive() override { return false; }
  void Compute(OpKernelContext* context) override {
    const Tensor &into = context->input(0), &value = context->input(1), &marks = context->input(2);
    const int64_t size = value.NumElements();
    OP_REQUIRES(context, offset_ + size <= into.NumElements() && part_ < marks.NumElements(),
                tensorflow::errors::InvalidArgument("a part ends beyond the memory that it is written to"));
    // What is fed is the caller's memory, which it wants written.
    float* to = const_cast<float*>(floats(context, 0)) + offset_;
    const float* from = floats(context, 1);
    // A product may have been written there by itself.
    if (from != to)
      inParallel(context, size, 1, [&](int64_t first, int64_t end) {
        std::memcpy(to + first, from + first, (end - first) * sizeof(float));
      });
    int32_t* mark = const_cast<int32_t*>(integers(context, 2)) + part_;
    __atomic_store_n(mark, *integers(context, 3), __ATOMIC_RELEASE);
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterWrite").Device(tensorflow::DEVICE_CPU), Write);

}  // namespace ringmaster
