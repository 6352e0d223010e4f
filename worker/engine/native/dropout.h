#pragma once
// x with elements of one site dropped out; its gradient is the same op on dy.
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterDropout").Input("x: float").Input("seed: int32").Attr("rate: float").Output("y: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

class DropoutKernel : public OpKernel {
  float rate_;

 public:
  explicit DropoutKernel(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    RM_OUTPUT(context, 0, shape, y)
    const float* x = floats(context, 0);
    const Dropout dropout = plain::dropoutOf(integers(context, 1), rate_);
    const int64_t size = shape.num_elements(), groups = (size + kNumbers - 1) / kNumbers;
    inParallel(context, groups, kNumbers, [&](int64_t first, int64_t end) {
      RM_CALL(dropRange, dropout, x, y, first * kNumbers, std::min(size, end * kNumbers));
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterDropout").Device(tensorflow::DEVICE_CPU), DropoutKernel);

}  // namespace ringmaster
