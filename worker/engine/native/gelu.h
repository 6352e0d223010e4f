// gelu(x + bias) with Φ by erf, and its gradient, which computes the value's parts again: cheaper than reading them.
#pragma once
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterGelu")
    .Input("x: float").Input("bias: float")
    .RM_WIDTH("Ty")
    .Output("y: Ty")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

class Gelu : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1);
    RM_RESULT(context, 0, shape, y)
    const GeluRows job = {rows, features, floats(context, 0), floats(context, 1), nullptr, y, nullptr};
    inParallel(context, rows, features * 3, [&](int64_t first, int64_t end) { RM_CALL_NARROW(geluRows, job, first, end); });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterGelu").Device(tensorflow::DEVICE_CPU), Gelu);

REGISTER_OP("RingmasterGeluGradient")
    .Input("dy: float").Input("x: float").Input("bias: float").RM_WIDTH("Tdx")
    .Output("dx: Tdx").Output("dbias: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      c->set_output(1, c->input(2));
      return absl::OkStatus();
    });

class GeluGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1), blocks = blocksOf(rows);
    RM_RESULT(context, 0, shape, dx)
    RM_OUTPUT(context, 1, TensorShape({features}), dbias)
    std::vector<float> parts(blocks * features, 0.f);
    const GeluRows job = {rows, features, floats(context, 1), floats(context, 2), floats(context, 0), dx, parts.data()};
    inParallel(context, blocks, kBlockRows * features * 4,
               [&](int64_t first, int64_t end) { RM_CALL_NARROW(geluGradient, job, first, end); });
    addBlocks(parts.data(), blocks, features, dbias);
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterGeluGradient").Device(tensorflow::DEVICE_CPU), GeluGradient);

}  // namespace ringmaster
