// The gradient of attention, head by head. With P the probabilities, D the dropout factors and O the context:
//   dV = (P∘D)ᵀ·dO,  dP = D∘(dO·Vᵀ),  dS = P∘(dP − rowsum(dO∘O)),  dQ = dS·K/√size,  dK = dSᵀ·Q/√size.
#pragma once

namespace ringmaster {

REGISTER_OP("RingmasterAttentionGradient")
    .Input("dcontext: float").Input("projected: float").Input("bias: float").Input("mask: float").Input("seed: int32")
    .Input("context: Tcontext").Input("stats: float")
    .Attr("heads: int").Attr("length: int").Attr("rate: float").Attr("narrow: bool = false")
    .RM_WIDTH("Tcontext").RM_WIDTH("Tdprojected")
    .Output("dprojected: Tdprojected").Output("dbias: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(1));
      c->set_output(1, c->input(2));
      return absl::OkStatus();
    });

class AttentionGradient : public OpKernel {
  tensorflow::int64 heads_, length_;
  float rate_;
  bool narrow_;

 public:
  explicit AttentionGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("heads", &heads_));
    OP_REQUIRES_OK(context, context->GetAttr("length", &length_));
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
    OP_REQUIRES_OK(context, context->GetAttr("narrow", &narrow_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(1).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1) / 3, size = features / heads_;
    const int64_t batch = rows / length_;
    RM_RESULT(context, 0, shape, dProjected)
    RM_OUTPUT(context, 1, TensorShape({3 * features}), dBias)
    std::vector<float> parts(batch * 3 * features);
    const AttentionGradientJob job = {
        {batch, length_, heads_, size, 1 / std::sqrt((float)size), const_cast<float*>(floats(context, 6)),
         plain::dropoutOf(integers(context, 4), rate_), floats(context, 1), floats(context, 2), floats(context, 3),
         narrow_},
        floats(context, 0), narrow_ ? nullptr : floats(context, 5), dProjected, parts.data()};
    inParallel(context, batch * heads_, length_ * length_ * (size / 3 + 8), [&](int64_t first, int64_t end) {
      AttentionRoom room(length_, size, narrow_);
      for (int64_t item = first; item < end; item++) RM_CALL_TILES(attendGradient, job, item, room);
    });
    addBlocks(parts.data(), batch, 3 * features, dBias);
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterAttentionGradient").Device(tensorflow::DEVICE_CPU), AttentionGradient);

}  // namespace ringmaster
