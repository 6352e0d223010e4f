// What looks rows up, or mixes them, where sequences lie one behind the other: first rows' attention to their sequence, first rows
// themselves, words; most of it gradients.
#pragma once
#include "packed_attention.h"

namespace ringmaster {

// For each sequence and head: softmax(query · rowsᵀ), dropped out, times [rows | 1], over the sequence's rows. Of queries
// [sequences, heads, features] and rows [tokens, features]: [sequences, heads, features + 1].
REGISTER_OP("RingmasterPackedMix")
    .Input("queries: float").Input("rows: float").Input("starts: int32").Input("ends: int32").Input("seed: int32")
    .Attr("rate: float")
    .Output("mixed: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->UnknownShapeOfRank(3));
      return absl::OkStatus();
    });

// What both take: sequences, and the job of the forward pass, which writes nothing.
struct MixInputs {
  Sequences sequences;
  MixJob job;
  int64_t cost;
};

inline absl::Status takeMixInputs(OpKernelContext* context, int first, float rate, MixInputs* inputs) {
  const Tensor &queries = context->input(first), &rows = context->input(first + 1);
  const int64_t tokens = rows.dim_size(0), heads = queries.dim_size(1), features = queries.dim_size(2);
  const absl::Status taken = takeSequences(context, first + 2, tokens, &inputs->sequences);
  if (!taken.ok()) return taken;
  if (queries.dim_size(0) != inputs->sequences.count || rows.dim_size(1) != features)
    return tensorflow::errors::InvalidArgument("queries and rows do not fit together");
  inputs->job = {heads, features, tokens, plain::dropoutOf(integers(context, first + 4), rate), floats(context, first),
                 floats(context, first + 1), nullptr};
  inputs->cost = tokens / std::max<int64_t>(1, inputs->sequences.count) * heads * features / 8;
  return absl::OkStatus();
}

class PackedMix : public OpKernel {
  float rate_;

 public:
  explicit PackedMix(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
  }
  void Compute(OpKernelContext* context) override {
    MixInputs inputs;
    OP_REQUIRES_OK(context, takeMixInputs(context, 0, rate_, &inputs));
    const auto& [sequences, job, cost] = inputs;
    RM_OUTPUT(context, 0, TensorShape({sequences.count, job.heads, job.features + 1}), mixed)
    MixJob own = job;
    own.mixed = mixed;
    inParallel(context, sequences.count, cost, [&, &sequences = sequences](int64_t first, int64_t end) {
      MixRoom room;
      for (int64_t i = first; i < end; i++) RM_CALL(mix, own, i, sequences.starts[i], sequences.length(i), room);
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterPackedMix").Device(tensorflow::DEVICE_CPU), PackedMix);

REGISTER_OP("RingmasterPackedMixGradient")
    .Input("slopes: float").Input("queries: float").Input("rows: float").Input("starts: int32").Input("ends: int32")
    .Input("seed: int32")
    .Attr("rate: float")
    .Output("dqueries: float").Output("drows: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(1));
      c->set_output(1, c->input(2));
      return absl::OkStatus();
    });

class PackedMixGradient : public OpKernel {
  float rate_;

 public:
  explicit PackedMixGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
  }
  void Compute(OpKernelContext* context) override {
    MixInputs inputs;
    OP_REQUIRES_OK(context, takeMixInputs(context, 1, rate_, &inputs));
    const auto& [sequences, job, cost] = inputs;
    RM_OUTPUT(context, 0, context->input(1).shape(), dQueries)
    RM_OUTPUT(context, 1, context->input(2).shape(), dRows)
    std::fill(dRows + sequences.tokens * job.features, dRows + job.tokens * job.features, 0.f);
    const MixGradientJob own = {job, floats(context, 0), dQueries, dRows};
    inParallel(context, sequences.count, 3 * cost, [&, &sequences = sequences](int64_t first, int64_t end) {
      MixRoom room;
      for (int64_t i = first; i < end; i++) RM_CALL(mixGradient, own, i, sequences.starts[i], sequences.length(i), room);
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterPackedMixGradient").Device(tensorflow::DEVICE_CPU), PackedMixGradient);

// Slopes of the first row of each sequence [sequences, features], each in its place among zeros [tokens, features].
REGISTER_OP("RingmasterFirstRowsGradient")
    .Input("dfirst: float").Input("rows: float").Input("starts: int32").Input("ends: int32")
    .Output("drows: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(1));
      return absl::OkStatus();
    });

class FirstRowsGradient : public OpKernel {
 public:
  explicit FirstRowsGradient(OpKernelConstruction* context) : OpKernel(context) {}
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(1).shape();
    const int64_t tokens = shape.dim_size(0), features = shape.dim_size(1);
    Sequences sequences;
    OP_REQUIRES_OK(context, takeSequences(context, 2, tokens, &sequences));
    RM_OUTPUT(context, 0, shape, dRows)
    std::fill(dRows, dRows + tokens * features, 0.f);
    const float* from = floats(context, 0);
    for (int64_t i = 0; i < sequences.count; i++)
      if (sequences.length(i) > 0)
        std::memcpy(dRows + sequences.starts[i] * features, from + i * features, features * sizeof(float));
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterFirstRowsGradient").Device(tensorflow::DEVICE_CPU), FirstRowsGradient);

// Rows of dy [rows, features] added up by place: [places, features]. Where no number of places is given there are as many as in
// `among`.
REGISTER_OP("RingmasterRowSums")
    .Input("dy: float").Input("place: int32").Input("among: int32")
    .Attr("places: int >= 0 = 0")
    .Output("sums: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->UnknownShapeOfRank(2));
      return absl::OkStatus();
    });

class RowSums : public OpKernel {
  int64_t places_;

 public:
  explicit RowSums(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("places", &places_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1);
    const int64_t places = places_ == 0 ? context->input(2).NumElements() : places_;
    OP_REQUIRES(context, context->input(1).NumElements() == rows,
                tensorflow::errors::InvalidArgument("rows and their places do not fit together"));
    RM_OUTPUT(context, 0, TensorShape({places, features}), sums)
    const RowSumsJob job = {rows, features, places, floats(context, 0), integers(context, 1), sums};
    const int64_t blocks = (features + kMostLanes - 1) / kMostLanes;
    inParallel(context, blocks, (rows + places) * 4, [&](int64_t first, int64_t end) {
      RM_CALL(rowSums, job, first * kMostLanes, std::min(features, end * kMostLanes));
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterRowSums").Device(tensorflow::DEVICE_CPU), RowSums);

}  // namespace ringmaster
