#pragma once
// x with elements of one site dropped out; its gradient is the same op on dy, or on the two slopes that dy is the sum of.
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterDropout").Input("x: N * float").Input("seed: int32").Attr("N: int >= 1 = 1").Attr("rate: float").Output("y: float")
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
    const int given = context->num_inputs() - 1;
    OP_REQUIRES(context, given <= 2 && context->input(given - 1).shape() == shape,
                tensorflow::errors::InvalidArgument("what is dropped out does not fit together"));
    RM_OUTPUT(context, 0, shape, y)
    const float *x = floats(context, 0), *more = given == 1 ? nullptr : floats(context, 1);
    const Dropout dropout = plain::dropoutOf(integers(context, given), rate_);
    const int64_t size = shape.num_elements(), groups = (size + kNumbers - 1) / kNumbers;
    inParallel(context, groups, kNumbers, [&](int64_t first, int64_t end) {
      RM_CALL(dropRange, dropout, x, more, y, first * kNumbers, std::min(size, end * kNumbers));
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterDropout").Device(tensorflow::DEVICE_CPU), DropoutKernel);

}  // namespace ringmaster
