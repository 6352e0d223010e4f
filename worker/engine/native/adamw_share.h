// AdamW of one rank's share of the parameters. The moments of the share are fed, and changed where they lie; new weights
// take the place of the gradients in the reduced vector, from where the ring sends them to the other ranks. No variable changes
// before `RingmasterTakeWeights` has all ranks' shares. Element by element the arithmetic is that of adamw.h.
#pragma once
#include "adamw.h"

namespace ringmaster {

REGISTER_OP("RingmasterAdamWShare")
    .Input("weights: count * resource")
    .Input("reduced: float").Input("first_moment: float").Input("second_moment: float").Input("share: int32")
    .Input("learning_rate: float").Input("epsilon: float").Input("scale: float").Input("decay: float")
    .Attr("count: int").Attr("offsets: list(int)").Attr("shrinks: list(int)").Attr("mark: int")
    .Attr("beta1: float").Attr("beta2: float")
    .SetIsStateful()
    .SetShapeFn([](Inference*) { return absl::OkStatus(); });

// What is fed lies in memory of ours that TensorFlow only looks at.
inline float* inPlace(OpKernelContext* context, int input) { return const_cast<float*>(floats(context, input)); }

class AdamWShare : public OpKernel {
  float beta1_, beta2_;
  std::vector<tensorflow::int64> offsets_, shrinks_;
  tensorflow::int64 mark_;

 public:
  explicit AdamWShare(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("beta1", &beta1_));
    OP_REQUIRES_OK(context, context->GetAttr("beta2", &beta2_));
    OP_REQUIRES_OK(context, context->GetAttr("offsets", &offsets_));
    OP_REQUIRES_OK(context, context->GetAttr("shrinks", &shrinks_));
    OP_REQUIRES_OK(context, context->GetAttr("mark", &mark_));
  }
  void Compute(OpKernelContext* context) override {
    const int count = static_cast<int>(offsets_.size());
    float* reduced = inPlace(context, count);
    float *first = inPlace(context, count + 1), *second = inPlace(context, count + 2);
    const int64_t start = integers(context, count + 3)[0], end = integers(context, count + 3)[1];
    const auto scalar = [&](int input) { return *floats(context, count + input); };
    OP_REQUIRES(context,
                context->input(count + 1).NumElements() >= end - start &&
                    context->input(count + 2).NumElements() >= end - start &&
                    std::max<int64_t>(end, mark_ + 1) <= context->input(count).NumElements(),
                tensorflow::errors::InvalidArgument("the share is larger than its vectors"));
    std::vector<tensorflow::core::RefCountPtr<tensorflow::Var>> variables(count);
    AdamRanges ranges;
    for (int i = 0; i < count; i++) {
      OP_REQUIRES_OK(context, tensorflow::LookupResource(context, tensorflow::HandleFromInput(context, i), &variables[i]));
      const Tensor& weights = *variables[i]->tensor();
      const int64_t from = std::max<int64_t>(start, offsets_[i]);
      const int64_t size = std::min<int64_t>(end, offsets_[i] + weights.NumElements()) - from;
      if (size <= 0) continue;
      const AdamRange job = {weights.flat<float>().data() + from - offsets_[i], reduced + from, first + from - start,
                             second + from - start, reduced + from, scalar(4), scalar(5), scalar(6),
                             shrinks_[i] ? 1 - scalar(7) : 1.f, beta1_, beta2_, false};
      ranges.add(job, size);
    }
    ranges.update(context);
    // Seen by whoever fed the vector, if its memory is shared.
    reduced[mark_] = 1;
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterAdamWShare").Device(tensorflow::DEVICE_CPU), AdamWShare);

REGISTER_OP("RingmasterTakeWeights")
    .Input("weights: count * resource").Input("vector: float")
    .Attr("count: int").Attr("offsets: list(int)")
    .SetIsStateful()
    .SetShapeFn([](Inference*) { return absl::OkStatus(); });

class TakeWeights : public OpKernel {
  std::vector<tensorflow::int64> offsets_;

 public:
  explicit TakeWeights(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("offsets", &offsets_));
  }
  void Compute(OpKernelContext* context) override {
    const int count = static_cast<int>(offsets_.size());
    const float* vector = floats(context, count);
    for (int i = 0; i < count; i++) {
      tensorflow::core::RefCountPtr<tensorflow::Var> variable;
      float* data;
      OP_REQUIRES_OK(context, ownVariable(context, i, &variable, &data));
      const int64_t size = variable->tensor()->NumElements();
      OP_REQUIRES(context, offsets_[i] + size <= context->input(count).NumElements(),
                  tensorflow::errors::InvalidArgument("the vector ends within a tensor"));
      inParallel(context, size, 1, [&](int64_t begin, int64_t stop) {
        std::memcpy(data + begin, vector + offsets_[i] + begin, (stop - begin) * sizeof(float));
      });
    }
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterTakeWeights").Device(tensorflow::DEVICE_CPU), TakeWeights);

}  // namespace ringmaster
