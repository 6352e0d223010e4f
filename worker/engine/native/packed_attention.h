// Attention of sequences that lie one behind the other in a matrix of tokens, with no padding between them: forward alone, as an
// evaluation has it. A sequence's tokens are the rows from its start to before its end; one without tokens gets zeros.
#pragma once
#include <optional>

namespace ringmaster {

// Where sequences lie, as two inputs of an op say.
struct Sequences {
  const int32_t *starts, *ends;
  int64_t count;

  int64_t length(int64_t sequence) const { return ends[sequence] - starts[sequence]; }
};

// Fails where a sequence reaches beyond the tokens, or where tokens that follow a sequence belong to none.
inline absl::Status takeSequences(OpKernelContext* context, int input, int64_t tokens, Sequences* sequences) {
  const int64_t count = context->input(input).NumElements();
  if (context->input(input + 1).NumElements() != count)
    return tensorflow::errors::InvalidArgument("sequences have ", count, " starts and another number of ends");
  *sequences = {integers(context, input), integers(context, input + 1), count};
  int64_t covered = 0;
  for (int64_t i = 0; i < count; i++) {
    const int64_t start = sequences->starts[i], end = sequences->ends[i];
    if (start == end && start == 0) continue;
    if (start != covered || end <= start || end > tokens)
      return tensorflow::errors::InvalidArgument("sequence ", i, " from ", start, " to ", end, " of ", tokens, " tokens");
    covered = end;
  }
  if (covered != tokens) return tensorflow::errors::InvalidArgument(tokens - covered, " tokens belong to no sequence");
  return absl::OkStatus();
}

REGISTER_OP("RingmasterPackedAttention")
    .Input("projected: float").Input("bias: float").Input("starts: int32").Input("ends: int32")
    .Attr("heads: int").Attr("narrow: bool = false")
    .Output("context: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->UnknownShapeOfRank(2));
      return absl::OkStatus();
    });

class PackedAttention : public OpKernel {
  tensorflow::int64 heads_;
  bool narrow_;

 public:
  explicit PackedAttention(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("heads", &heads_));
    OP_REQUIRES_OK(context, context->GetAttr("narrow", &narrow_));
  }
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1) / 3, size = features / heads_;
    Sequences sequences;
    OP_REQUIRES_OK(context, takeSequences(context, 2, rows, &sequences));
    RM_OUTPUT(context, 0, TensorShape({rows, features}), out)
    int64_t scores = 0, longest = 0;
    for (int64_t i = 0; i < sequences.count; i++) {
      scores += sequences.length(i) * sequences.length(i);
      longest = std::max(longest, sequences.length(i));
    }
    const std::vector<float> mask(longest, 0.f);
    const int64_t cost = scores / std::max<int64_t>(1, sequences.count) * (size / 8 + 4);
    inParallel(context, sequences.count * heads_, cost, [&](int64_t first, int64_t end) {
      std::optional<AttentionRoom> room;
      std::vector<float> stats;
      for (int64_t item = first; item < end; item++) {
        const int64_t sequence = item / heads_, head = item % heads_, length = sequences.length(sequence);
        if (length == 0) continue;
        if (item == first || head == 0) {
          // What lies behind a shorter sequence's rows and columns has to be as it is in a fresh room.
          room.emplace(length, size, narrow_);
          stats.resize(heads_ * length * 2);
        }
        const int64_t start = sequences.starts[sequence];
        const AttentionJob job = {1, length, heads_, size, 1 / std::sqrt((float)size), stats.data(), Dropout{},
                                  floats(context, 0) + start * 3 * features, floats(context, 1), mask.data(), narrow_};
        RM_CALL_TILES(attend, job, out + start * features, head, *room);
      }
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterPackedAttention").Device(tensorflow::DEVICE_CPU), PackedAttention);

// For each sequence and head: softmax(query · rowsᵀ) · rows, over the sequence's rows. Of queries [sequences, heads, features] and rows
// [tokens, features]: [sequences, heads, features].
REGISTER_OP("RingmasterPackedMix")
    .Input("queries: float").Input("rows: float").Input("starts: int32").Input("ends: int32")
    .Output("mixed: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

class PackedMix : public OpKernel {
 public:
  explicit PackedMix(OpKernelConstruction* context) : OpKernel(context) {}
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t heads = shape.dim_size(1), features = shape.dim_size(2), tokens = context->input(1).dim_size(0);
    Sequences sequences;
    OP_REQUIRES_OK(context, takeSequences(context, 2, tokens, &sequences));
    OP_REQUIRES(context, shape.dim_size(0) == sequences.count && context->input(1).dim_size(1) == features,
                tensorflow::errors::InvalidArgument("queries and rows do not fit together"));
    RM_OUTPUT(context, 0, shape, mixed)
    const MixJob job = {heads, features, floats(context, 0), floats(context, 1), mixed};
    const int64_t cost = tokens / std::max<int64_t>(1, sequences.count) * heads * features / 8;
    inParallel(context, sequences.count, cost, [&](int64_t first, int64_t end) {
      MixRoom room;
      for (int64_t i = first; i < end; i++) RM_CALL(mix, job, i, sequences.starts[i], sequences.length(i), room);
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterPackedMix").Device(tensorflow::DEVICE_CPU), PackedMix);

}  // namespace ringmaster
