// What an encoder reads of its weights before it multiplies: rows looked up and added, and weights one behind the other. TensorFlow's
// own ops share such work out in fixed parts and sleep until another thread has taken its part, which at a step's beginning is
// late: the other core still has the step before to report.
#pragma once
#include "parallel.h"

namespace ringmaster {

// Weights [outs, in] one behind the other: [all outs, in].
REGISTER_OP("RingmasterJoin").Input("parts: N * float").Attr("N: int >= 1").Output("joined: float").SetShapeFn([](Inference* c) {
  auto rows = c->Dim(c->input(0), 0);
  for (int part = 1; part < c->num_inputs(); part++) TF_RETURN_IF_ERROR(c->Add(rows, c->Dim(c->input(part), 0), &rows));
  tensorflow::shape_inference::ShapeHandle joined;
  TF_RETURN_IF_ERROR(c->ReplaceDim(c->input(0), 0, rows, &joined));
  c->set_output(0, joined);
  return absl::OkStatus();
});

class Join : public OpKernel {
  // Elements that are copied at a time.
  static constexpr int64_t kCopied = 16384;

 public:
  explicit Join(OpKernelConstruction* context) : OpKernel(context) {}
  void Compute(OpKernelContext* context) override {
    struct Copy {
      const float* from;
      int64_t to, count;
    };
    std::vector<Copy> copies;
    TensorShape shape = context->input(0).shape();
    int64_t rows = 0, elements = 0;
    for (int part = 0; part < context->num_inputs(); part++) {
      const Tensor& given = context->input(part);
      OP_REQUIRES(context, given.dims() == 2 && given.dim_size(1) == shape.dim_size(1),
                  tensorflow::errors::InvalidArgument("weights to join do not fit together"));
      rows += given.dim_size(0);
      for (int64_t at = 0; at < given.NumElements(); at += kCopied)
        copies.push_back({floats(context, part) + at, elements + at, std::min(kCopied, given.NumElements() - at)});
      elements += given.NumElements();
    }
    shape.set_dim(0, rows);
    RM_OUTPUT(context, 0, shape, joined)
    inParallel(context, copies.size(), kCopied / 8, [&](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; i++)
        std::memcpy(joined + copies[i].to, copies[i].from, copies[i].count * sizeof(float));
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterJoin").Device(tensorflow::DEVICE_CPU), Join);

// (words[place] + positions[position]) + types[type] of every token: [tokens, features].
REGISTER_OP("RingmasterEmbed")
    .Input("words: float").Input("positions: float").Input("types: float")
    .Input("place: int32").Input("position: int32").Input("type: int32")
    .Output("rows: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->Matrix(c->Dim(c->input(3), 0), c->Dim(c->input(0), 1)));
      return absl::OkStatus();
    });

class Embed : public OpKernel {
 public:
  explicit Embed(OpKernelConstruction* context) : OpKernel(context) {}
  void Compute(OpKernelContext* context) override {
    const int64_t tokens = context->input(3).NumElements(), features = context->input(0).dim_size(1);
    for (int table = 0; table < 3; table++) {
      const int64_t rows = context->input(table).dim_size(0);
      const Tensor& numbers = context->input(table + 3);
      OP_REQUIRES(context, context->input(table).dim_size(1) == features && numbers.NumElements() == tokens,
                  tensorflow::errors::InvalidArgument("tables and what is looked up do not fit together"));
      const int32_t* number = integers(context, table + 3);
      for (int64_t i = 0; i < tokens; i++)
        OP_REQUIRES(context, number[i] >= 0 && number[i] < rows,
                    tensorflow::errors::InvalidArgument("row ", number[i], " is looked up in a table of ", rows));
    }
    RM_OUTPUT(context, 0, TensorShape({tokens, features}), rows)
    const EmbedJob job = {features,           floats(context, 0),   floats(context, 1),   floats(context, 2),
                          integers(context, 3), integers(context, 4), integers(context, 5), rows};
    inParallel(context, tokens, features, [&](int64_t first, int64_t end) { RM_CALL(embedRows, job, first, end); });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterEmbed").Device(tensorflow::DEVICE_CPU), Embed);

}  // namespace ringmaster
