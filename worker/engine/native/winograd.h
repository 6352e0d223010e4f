// Convolution by 3 × 3 filters, stride 1, padding 1, in NHWC, with fewer multiplications (winograd_loops.h); and the gradient of
// its filters. The input's gradient is the same convolution with turned filters. Parts depend on the shape, not on threads.
#pragma once
#include <memory>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterConvolution").Input("x: float").Input("filters: float").Attr("turned: int").Output("y: float")
    .SetShapeFn([](Inference* c) {
      int64_t turned;
      TF_RETURN_IF_ERROR(c->GetAttr("turned", &turned));
      c->set_output(0, c->MakeShape({c->Dim(c->input(0), 0), c->Dim(c->input(0), 1), c->Dim(c->input(0), 2),
                                     c->Dim(c->input(1), turned != 0 ? 2 : 3)}));
      return absl::OkStatus();
    });

inline WinogradJob winogradJob(OpKernelContext* context, int64_t outputs) {
  const auto& shape = context->input(0).shape();
  WinogradJob job = {};
  job.rows = shape.dim_size(0);
  job.height = shape.dim_size(1);
  job.width = shape.dim_size(2);
  job.inputs = shape.dim_size(3);
  job.outputs = outputs;
  job.x = floats(context, 0);
  // As much as a core's own cache holds of [16][tiles][inputs].
  job.tilesHeld = job.inputs > 128 ? 32 : 64;
  return job;
}

class Convolution : public OpKernel {
  int64_t turned_;

 public:
  explicit Convolution(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("turned", &turned_));
  }
  void Compute(OpKernelContext* context) override {
    constexpr int64_t panel = plain::kPanel;
    const bool turned = turned_ != 0;
    WinogradJob job = winogradJob(context, context->input(1).dim_size(turned ? 2 : 3));
    RM_OUTPUT(context, 0, TensorShape({job.rows, job.height, job.width, job.outputs}), y)
    job.y = y;
    const int64_t panels = (job.outputs + panel - 1) / panel, panelFloats = 16 * job.inputs * panel;
    const std::unique_ptr<float[]> filters(new float[panels * panelFloats]);
    job.filters = filters.get();
    const float* given = floats(context, 1);
    inParallel(context, panels * job.inputs, panel * 16, [&](int64_t first, int64_t end) {
      for (int64_t at = first; at < end;) {
        const int64_t number = at / job.inputs, begin = at % job.inputs, stop = std::min(job.inputs, begin + end - at);
        RM_CALL(winogradFilters, given, turned, job.inputs, job.outputs, number, begin, stop, filters.get() + number * panelFloats);
        at += stop - begin;
      }
    });
    const int64_t blocks = (job.tiles() + job.tilesHeld - 1) / job.tilesHeld;
    inParallel(context, blocks, job.tilesHeld * job.inputs * job.outputs, [&](int64_t first, int64_t end) {
      WinogradRoom room(job);
      for (int64_t block = first; block < end; block++) RM_CALL(winogradConvolution, job, block, room);
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterConvolution").Device(tensorflow::DEVICE_CPU), Convolution);

REGISTER_OP("RingmasterWinogradGradient").Input("x: float").Input("dy: float").Output("dfilters: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->MakeShape({c->MakeDim(3), c->MakeDim(3), c->Dim(c->input(0), 3), c->Dim(c->input(1), 3)}));
      return absl::OkStatus();
    });

// Gᵀ s G of one element of the filters: s at 16 places `step` apart, the nine results `outStep` apart.
inline void turnBack(const float* s, int64_t step, float* g, int64_t outStep) {
  float half[3][4];
  for (int c = 0; c < 4; c++) {
    const float a = s[c * step], b = s[(4 + c) * step], d = s[(8 + c) * step], e = s[(12 + c) * step];
    const float even = (b + d) * 0.5f;
    half[0][c] = a + even;
    half[1][c] = (b - d) * 0.5f;
    half[2][c] = even + e;
  }
  for (int r = 0; r < 3; r++) {
    const float even = (half[r][1] + half[r][2]) * 0.5f;
    g[r * 3 * outStep] = half[r][0] + even;
    g[(r * 3 + 1) * outStep] = (half[r][1] - half[r][2]) * 0.5f;
    g[(r * 3 + 2) * outStep] = even + half[r][3];
  }
}

class WinogradGradient : public OpKernel {
 public:
  using OpKernel::OpKernel;
  void Compute(OpKernelContext* context) override {
    constexpr int64_t panel = plain::kPanel;
    const int64_t outputs = context->input(1).dim_size(3);
    WinogradJob job = winogradJob(context, outputs);
    job.tilesHeld = 64;
    job.y = const_cast<float*>(floats(context, 1));
    const int64_t inputs = job.inputs, columns = padded(outputs), panels = (outputs + panel - 1) / panel;
    RM_OUTPUT(context, 0, TensorShape({3, 3, inputs, outputs}), gradient)
    const int64_t whole = 16 * inputs * columns;
    // More parts let more threads work, and cost memory: a few million floats at most.
    const int64_t parts = std::min<int64_t>({16, job.rows, std::max<int64_t>(1, (1 << 21) / whole)});
    const std::unique_ptr<float[]> sums(new float[parts * whole]);
    const int64_t ofImage = job.tiles() / job.rows;
    inParallel(context, parts * panels, job.tiles() * inputs * panel / parts, [&](int64_t first, int64_t end) {
      WinogradRoom room(job);
      for (int64_t task = first; task < end; task++) {
        const int64_t part = task / panels, begin = job.rows * part / parts, stop = job.rows * (part + 1) / parts;
        RM_CALL(winogradGradient, job, begin * ofImage, stop * ofImage, task % panels * panel, sums.get() + part * whole,
                columns, room);
      }
    });
    inParallel(context, inputs, outputs * parts * 16, [&](int64_t first, int64_t end) {
      const std::unique_ptr<float[]> added(new float[16 * columns]);
      for (int64_t i = first; i < end; i++) {
        for (int64_t place = 0; place < 16; place++) {
          float* to = added.get() + place * columns;
          std::fill(to, to + columns, 0.f);
          for (int64_t part = 0; part < parts; part++) {
            const float* from = sums.get() + part * whole + (place * inputs + i) * columns;
            for (int64_t j = 0; j < outputs; j++) to[j] += from[j];
          }
        }
        for (int64_t j = 0; j < outputs; j++) turnBack(added.get() + j, columns, gradient + i * outputs + j, inputs * outputs);
      }
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterWinogradGradient").Device(tensorflow::DEVICE_CPU), WinogradGradient);

}  // namespace ringmaster
