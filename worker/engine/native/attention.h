// softmax((q + b)·(k + b)ᵀ/√size + mask), dropped out, times (v + b), head by head, with the scores in a core's own cache:
// they are never written to memory, and the gradient computes them again (Dao et al. 2022).
#pragma once

namespace ringmaster {

REGISTER_OP("RingmasterAttention")
    .Input("projected: float").Input("bias: float").Input("mask: float").Input("seed: int32")
    .Attr("heads: int").Attr("length: int").Attr("rate: float").Attr("narrow: bool = false").RM_WIDTH("Tcontext")
    .Output("context: Tcontext").Output("stats: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->UnknownShapeOfRank(2));
      c->set_output(1, c->UnknownShapeOfRank(1));
      return absl::OkStatus();
    });

class Attention : public OpKernel {
  tensorflow::int64 heads_, length_;
  float rate_;
  bool narrow_;

 public:
  explicit Attention(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("heads", &heads_));
    OP_REQUIRES_OK(context, context->GetAttr("length", &length_));
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
    OP_REQUIRES_OK(context, context->GetAttr("narrow", &narrow_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1) / 3, size = features / heads_;
    const int64_t batch = rows / length_;
    RM_RESULT(context, 0, TensorShape({rows, features}), out)
    RM_OUTPUT(context, 1, TensorShape({batch * heads_ * length_ * 2}), stats)
    const AttentionJob job = {batch, length_, heads_, size, 1 / std::sqrt((float)size), stats,
                              plain::dropoutOf(integers(context, 3), rate_), floats(context, 0), floats(context, 1),
                              floats(context, 2), narrow_};
    inParallel(context, batch * heads_, length_ * length_ * (size / 8 + 4), [&](int64_t first, int64_t end) {
      AttentionRoom room(length_, size, narrow_);
      for (int64_t item = first; item < end; item++) RM_CALL_TILES(attend, job, out, item, room);
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterAttention").Device(tensorflow::DEVICE_CPU), Attention);

}  // namespace ringmaster
