// Attention of sequences that lie one behind the other in a matrix of tokens, with no padding between them. A sequence's tokens are
// the rows from its start to before its end; one without tokens gets zeros, and so do tokens behind the last sequence.
#pragma once
#include <optional>

namespace ringmaster {

// Where sequences lie, as two inputs of an op say.
struct Sequences {
  const int32_t *starts, *ends;
  int64_t count;
  // Tokens of all sequences; what follows fills the matrix up.
  int64_t tokens;

  int64_t length(int64_t sequence) const { return ends[sequence] - starts[sequence]; }
};

// Fails where a sequence does not begin where the one before it ends, or reaches beyond the tokens.
inline absl::Status takeSequences(OpKernelContext* context, int input, int64_t tokens, Sequences* sequences) {
  const int64_t count = context->input(input).NumElements();
  if (context->input(input + 1).NumElements() != count)
    return tensorflow::errors::InvalidArgument("sequences have ", count, " starts and another number of ends");
  *sequences = {integers(context, input), integers(context, input + 1), count, 0};
  int64_t& covered = sequences->tokens;
  for (int64_t i = 0; i < count; i++) {
    const int64_t start = sequences->starts[i], end = sequences->ends[i];
    if (start == end && start == 0) continue;
    if (start != covered || end <= start || end > tokens)
      return tensorflow::errors::InvalidArgument("sequence ", i, " from ", start, " to ", end, " of ", tokens, " tokens");
    covered = end;
  }
  return absl::OkStatus();
}

inline void fillZeros(const Result& result, int64_t first, int64_t end) {
  if (result.narrow == nullptr) std::fill(result.wide + first, result.wide + end, 0.f);
  else std::fill(result.narrow + first, result.narrow + end, 0);
}

// Scores of all sequences, and tokens of the longest.
struct SequenceSizes {
  int64_t scores = 0, longest = 0;

  explicit SequenceSizes(const Sequences& sequences) {
    for (int64_t i = 0; i < sequences.count; i++) {
      scores += sequences.length(i) * sequences.length(i);
      longest = std::max(longest, sequences.length(i));
    }
  }
};

// Calls body(job, sequence, head, room) for each head of each sequence, whose job has that sequence alone.
template <class Body>
void byHead(OpKernelContext* context, const Sequences& sequences, const AttentionJob& all, int64_t cost, const Body& body) {
  const SequenceSizes sizes(sequences);
  const std::vector<float> mask(sizes.longest, 0.f);
  const int64_t mean = sizes.scores / std::max<int64_t>(1, sequences.count);
  inParallel(context, sequences.count * all.heads, mean * cost, [&](int64_t first, int64_t end) {
    std::optional<AttentionRoom> room;
    for (int64_t item = first; item < end; item++) {
      const int64_t sequence = item / all.heads, head = item % all.heads, length = sequences.length(sequence);
      if (length == 0) continue;
      // What lies behind a shorter sequence's rows and columns has to be as it is in a fresh room.
      if (item == first || head == 0) room.emplace(length, all.size, all.narrow);
      AttentionJob job = all;
      job.batch = 1;
      job.length = length;
      job.start = sequences.starts[sequence];
      job.projected += job.start * 3 * all.features();
      job.stats += job.start * all.heads * 2;
      job.mask = mask.data();
      body(job, sequence, head, *room);
    }
  });
}

// What both directions are told, and where they find what they take.
class PackedAttentionOp : public OpKernel {
  tensorflow::int64 heads_;
  float rate_;
  bool narrow_;

 public:
  explicit PackedAttentionOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("heads", &heads_));
    OP_REQUIRES_OK(context, context->GetAttr("rate", &rate_));
    OP_REQUIRES_OK(context, context->GetAttr("narrow", &narrow_));
  }

 protected:
  int64_t heads() const { return heads_; }
  // The job of all sequences, whose inputs (projected, bias, starts, ends, seed) begin with input `first`.
  AttentionJob jobOf(OpKernelContext* context, int first, float* stats, const Sequences& sequences) const {
    const auto& shape = context->input(first).shape();
    const int64_t size = shape.dim_size(1) / 3 / heads_;
    return {sequences.count, 0, heads_, size, 1 / std::sqrt((float)size), stats,
            plain::dropoutOf(integers(context, first + 4), rate_), floats(context, first), floats(context, first + 1), nullptr,
            narrow_, shape.dim_size(0)};
  }
};

REGISTER_OP("RingmasterPackedAttention")
    .Input("projected: float").Input("bias: float").Input("starts: int32").Input("ends: int32").Input("seed: int32")
    .Attr("heads: int").Attr("rate: float").Attr("narrow: bool = false").RM_WIDTH("Tcontext")
    .Output("context: Tcontext").Output("stats: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->UnknownShapeOfRank(2));
      c->set_output(1, c->UnknownShapeOfRank(1));
      return absl::OkStatus();
    });

class PackedAttention : public PackedAttentionOp {
 public:
  using PackedAttentionOp::PackedAttentionOp;
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(0).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1) / 3;
    Sequences sequences;
    OP_REQUIRES_OK(context, takeSequences(context, 2, rows, &sequences));
    RM_RESULT(context, 0, TensorShape({rows, features}), out)
    RM_OUTPUT(context, 1, TensorShape({rows * heads() * 2}), stats)
    fillZeros(out, sequences.tokens * features, rows * features);
    const AttentionJob all = jobOf(context, 0, stats, sequences);
    byHead(context, sequences, all, all.size / 8 + 4, [&](const AttentionJob& job, int64_t, int64_t head, AttentionRoom& room) {
      RM_CALL_TILES(attend, job, out.from(job.start * features), head, room);
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterPackedAttention").Device(tensorflow::DEVICE_CPU), PackedAttention);

REGISTER_OP("RingmasterPackedAttentionGradient")
    .Input("dcontext: float").Input("projected: float").Input("bias: float").Input("starts: int32").Input("ends: int32")
    .Input("seed: int32").Input("context: Tcontext").Input("stats: float")
    .Attr("heads: int").Attr("rate: float").Attr("narrow: bool = false")
    .RM_WIDTH("Tcontext").RM_WIDTH("Tdprojected")
    .Output("dprojected: Tdprojected").Output("dbias: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(1));
      c->set_output(1, c->input(2));
      return absl::OkStatus();
    });

class PackedAttentionGradient : public PackedAttentionOp {
 public:
  using PackedAttentionOp::PackedAttentionOp;
  void Compute(OpKernelContext* context) override {
    const auto& shape = context->input(1).shape();
    const int64_t rows = shape.dim_size(0), features = shape.dim_size(1) / 3;
    Sequences sequences;
    OP_REQUIRES_OK(context, takeSequences(context, 3, rows, &sequences));
    RM_RESULT(context, 0, shape, dProjected)
    RM_OUTPUT(context, 1, TensorShape({3 * features}), dBias)
    fillZeros(dProjected, sequences.tokens * 3 * features, rows * 3 * features);
    std::vector<float> parts(sequences.count * 3 * features, 0.f);
    const AttentionJob all = jobOf(context, 1, const_cast<float*>(floats(context, 7)), sequences);
    const auto gradient = [&](const AttentionJob& job, int64_t sequence, int64_t head, AttentionRoom& room) {
      const AttentionGradientJob own = {job, floats(context, 0) + job.start * features,
                                        job.narrow ? nullptr : floats(context, 6) + job.start * features,
                                        dProjected.from(job.start * 3 * features), parts.data() + sequence * 3 * features};
      RM_CALL_TILES(attendGradient, own, head, room);
    };
    byHead(context, sequences, all, all.size / 3 + 8, gradient);
    addBlocks(parts.data(), sequences.count, 3 * features, dBias);
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterPackedAttentionGradient").Device(tensorflow::DEVICE_CPU), PackedAttentionGradient);

}  // namespace ringmaster
