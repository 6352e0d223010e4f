// LayerNorm(dropout(x + bias) + residual) in one pass over memory, and its gradient. x: [rows, features].
#pragma once
#include <cmath>
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterLayerNorm")
    .Input("x: float").Input("bias: float").Input("residual: float").Input("gain: float").Input("shift: float")
    .Input("seed: int32").Attr("epsilon: float").Attr("rate: float")
    .Output("y: float").Output("normed: float").Output("inverse: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      c->set_output(1, c->input(0));
      c->set_output(2, c->Vector(c->Dim(c->input(0), 0)));
      return absl::OkStatus();
    });

class LayerNorm : public OpKernel {
  float epsilon_, rate_;

 public:
  explicit LayerNorm(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("epsilon", &epsilon_));
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1);
    RM_OUTPUT(context, 0, shape, y)
    RM_OUTPUT(context, 1, shape, normed)
    RM_OUTPUT(context, 2, TensorShape({rows}), inverse)
    const NormRows job = {features, epsilon_, plain::dropoutOf(integers(context, 5), rate_),
                          floats(context, 0), floats(context, 1),
                          context->input(2).NumElements() == 0 ? nullptr : floats(context, 2), floats(context, 3),
                          floats(context, 4), y, normed, inverse};
    inParallel(context, rows, features * 3, [&](int64_t first, int64_t end) {
      std::vector<float> factors(features + kMostLanes);
      std::vector<int16_t> numbers(features + 2 * kNumbers);
      RM_CALL(normRows, job, first, end, factors.data(), numbers.data());
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterLayerNorm").Device(tensorflow::DEVICE_CPU), LayerNorm);

REGISTER_OP("RingmasterLayerNormGradient")
    .Input("dy: N * float").Input("normed: float").Input("inverse: float").Input("gain: float").Input("seed: int32")
    .Attr("N: int >= 1 = 1").Attr("rate: float").RM_WIDTH("Tdx")
    .Output("dx: Tdx").Output("dbias: float").Output("dresidual: float").Output("dgain: float").Output("dshift: float")
    .SetShapeFn([](Inference* c) {
      const auto gain = c->input(c->num_inputs() - 2);
      c->set_output(0, c->input(0));
      c->set_output(1, gain);
      c->set_output(2, c->input(0));
      c->set_output(3, gain);
      c->set_output(4, gain);
      return absl::OkStatus();
    });

// The gradient of what y is read by once, or by two, whose slopes are added up.
class LayerNormGradient : public OpKernel {
  float rate_;

 public:
  explicit LayerNormGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1), blocks = blocksOf(rows);
    const int given = context->num_inputs() - 4;
    OP_REQUIRES(context, given <= 2 && context->input(given - 1).shape() == shape,
                tensorflow::errors::InvalidArgument("slopes do not fit together"));
    RM_OUTPUT(context, 2, shape, dresidual)
    Result dx = dresidual;
    if (rate_ == 0) {
      context->set_output(0, *dresidual_tensor);
    } else {
      RM_RESULT(context, 0, shape, dropped)
      dx = dropped;
    }
    RM_OUTPUT(context, 1, TensorShape({features}), dbias)
    RM_OUTPUT(context, 3, TensorShape({features}), dgain)
    RM_OUTPUT(context, 4, TensorShape({features}), dshift)
    std::vector<float> parts(blocks * features * 3, 0.f);
    const NormGradient job = {rows, features, plain::dropoutOf(integers(context, given + 3), rate_), floats(context, 0),
                              given == 1 ? nullptr : floats(context, 1), floats(context, given), floats(context, given + 1),
                              floats(context, given + 2), dx, dresidual, parts.data()};
    inParallel(context, blocks, kBlockRows * features * 4, [&](int64_t first, int64_t end) {
      std::vector<float> factors(features + kMostLanes);
      std::vector<int16_t> numbers(features + 2 * kNumbers);
      RM_CALL_NARROW(normGradient, job, first, end, factors.data(), numbers.data());
    });
    std::vector<float> sums(features * 3);
    addBlocks(parts.data(), blocks, features * 3, sums.data());
    std::copy(sums.begin(), sums.begin() + features, dbias);
    std::copy(sums.begin() + features, sums.begin() + 2 * features, dgain);
    std::copy(sums.begin() + 2 * features, sums.end(), dshift);
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterLayerNormGradient").Device(tensorflow::DEVICE_CPU), LayerNormGradient);

}  // namespace ringmaster
