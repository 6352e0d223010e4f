// The filter gradient of a convolution in NHWC. TensorFlow's own adds in parts that depend on the number of threads; here
// they depend on the shape.
#pragma once
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterFilterGradient")
    .Input("x: float").Input("dy: float").Attr("size: int").Attr("stride: int").Attr("padding: int")
    .Output("dfilters: float")
    .SetShapeFn([](Inference* c) {
      int64_t size;
      TF_RETURN_IF_ERROR(c->GetAttr("size", &size));
      c->set_output(0, c->MakeShape({c->MakeDim(size), c->MakeDim(size), c->Dim(c->input(0), 3), c->Dim(c->input(1), 3)}));
      return absl::OkStatus();
    });

class FilterGradient : public OpKernel {
  int64_t size_, stride_, padding_;

 public:
  explicit FilterGradient(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("size", &size_));
    OP_REQUIRES_OK(context, context->GetAttr("stride", &stride_));
    OP_REQUIRES_OK(context, context->GetAttr("padding", &padding_));
  }
  void Compute(OpKernelContext* context) override {
    const auto &x = context->input(0).shape(), &dy = context->input(1).shape();
    const int64_t inputs = x.dim_size(3), outputs = dy.dim_size(3);
    RM_OUTPUT(context, 0, TensorShape({size_, size_, inputs, outputs}), gradient)
    // More parts let more threads work, and cost memory: a few million floats at most.
    const int64_t parts = std::min<int64_t>({16, x.dim_size(0), std::max<int64_t>(1, (5 << 18) / gradient_tensor->NumElements())});
    FilterGradientJob job = {x.dim_size(0), x.dim_size(1), x.dim_size(2), inputs, dy.dim_size(1), dy.dim_size(2), outputs,
                             size_, stride_, padding_, floats(context, 0), floats(context, 1), parts, gradient};
    const int64_t columns = job.columns(), rows = job.filterRows();
    std::vector<float> sums;
    if (parts > 1 || columns != outputs) {
      sums.resize(parts * rows * columns);
      job.sums = sums.data();
    }
    constexpr int64_t panel = plain::kPanel;
    const int64_t panels = (outputs + panel - 1) / panel, cost = rows * panel * x.dim_size(0) * dy.dim_size(1);
    inParallel(context, parts * panels, cost, [&](int64_t first, int64_t end) {
      FilterGradientRoom room;
      for (int64_t task = first; task < end; task++)
        RM_CALL(filterGradient, job, task / panels, task % panels * panel, room);
    });
    if (job.sums == gradient) return;
    inParallel(context, rows, parts * outputs, [&](int64_t first, int64_t end) {
      for (int64_t row = first; row < end; row++)
        for (int64_t j = 0; j < outputs; j++) {
          float sum = 0;
          for (int64_t part = 0; part < parts; part++) sum += sums[(part * rows + row) * columns + j];
          gradient[row * outputs + j] = sum;
        }
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterFilterGradient").Device(tensorflow::DEVICE_CPU), FilterGradient);

}  // namespace ringmaster
