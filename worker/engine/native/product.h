// Matrix products with the same bits for any number of threads, in the place of BatchMatMulV2: in float32 where oneDNN divides a
// sum over its threads (processors without AVX-512), and of operands that are rounded to bfloat16 on the way, so that
// nothing is cast in memory.
#pragma once
#include <functional>
#include "parallel.h"

namespace ringmaster {

inline absl::Status productShape(Inference* c) {
  c->set_output(0, c->UnknownShape());
  return absl::OkStatus();
}
// `into` is memory that is fed, or nothing: the product is then written to its place there, as RingmasterWrite would copy it.
#define RM_PRODUCT_INTO Input("into: places * float").Attr("places: int >= 0 = 0").Attr("offset: int = 0")
REGISTER_OP("RingmasterProduct")
    .Input("a: float").Input("b: float").RM_PRODUCT_INTO
    .Attr("adj_x: bool").Attr("adj_y: bool")
    .Output("c: float")
    .SetShapeFn(productShape);
REGISTER_OP("RingmasterNarrowProduct")
    .Input("a: Ta").Input("b: Tb").RM_PRODUCT_INTO
    .Attr("adj_x: bool").Attr("adj_y: bool").RM_WIDTH("Ta").RM_WIDTH("Tb")
    .Output("c: float")
    .SetShapeFn(productShape);
#undef RM_PRODUCT_INTO

// Rows of a turned operand that one thread packs at a time.
constexpr int64_t kTurnedRows = 48;
static_assert(kTurnedRows % plain::kTileRows == 0, "who packs begins with a tile");

// c is cut for more threads than there are, so that they end together; packing what parts share is to stay cheap.
struct ProductCut {
  // Bounds are multiples of a tile's rows and of a strip's columns.
  int64_t tileRows, stripColumns, rowParts, columnParts;

  // @param packsItsOwn each part packs its columns: rows are cut only where columns do not make parts enough
  ProductCut(const ProductJob& job, int64_t tileRows, int64_t stripColumns, int64_t threads, bool packsItsOwn)
      : tileRows(tileRows), stripColumns(stripColumns) {
    columnParts = std::max<int64_t>({1, (job.columns + 255) / 256, packsItsOwn ? std::min(2 * threads, job.columns / 64) : 1});
    rowParts = std::max<int64_t>(1, std::min((2 * threads + columnParts - 1) / columnParts, job.rows / 96));
  }
  int64_t parts() const { return rowParts * columnParts; }
  static int64_t bound(int64_t size, int64_t parts, int64_t part, int64_t multiple) {
    return part == parts ? size : size * part / parts / multiple * multiple;
  }
  ProductPart part(int64_t rows, int64_t columns, int64_t index) const {
    const int64_t i = index / columnParts, j = index % columnParts;
    return {bound(rows, rowParts, i, tileRows), bound(rows, rowParts, i + 1, tileRows),
            bound(columns, columnParts, j, stripColumns), bound(columns, columnParts, j + 1, stripColumns)};
  }
};

class ProductKernel : public OpKernel {
  bool turnedA_, turnedB_;
  tensorflow::int64 offset_;

  // Where the result is put: at its place in memory that is fed, where there is such memory, or in memory of its own.
  absl::Status place(OpKernelContext* context, const TensorShape& shape, float** c) const {
    if (context->num_inputs() > 2) {
      const Tensor& into = context->input(2);
      const int64_t end = offset_ + shape.num_elements();
      if (end > offset_ && end <= into.NumElements()) {
        Tensor placed;
        const bool shares = placed.CopyFrom(into.Slice(offset_, end), shape);
        // TensorFlow takes no tensor that does not begin with a line, and ends the process if it meets one.
        if (shares && reinterpret_cast<uintptr_t>(placed.tensor_data().data()) % 64 == 0) {
          context->set_output(0, placed);
          *c = placed.flat<float>().data();
          return absl::OkStatus();
        }
      }
    }
    Tensor* own = nullptr;
    TF_RETURN_IF_ERROR(context->allocate_output(0, shape, &own));
    *c = own->flat<float>().data();
    return absl::OkStatus();
  }

 public:
  explicit ProductKernel(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("adj_x", &turnedA_));
    OP_REQUIRES_OK(context, context->GetAttr("adj_y", &turnedB_));
    OP_REQUIRES_OK(context, context->GetAttr("offset", &offset_));
  }
  void Compute(OpKernelContext* context) override {
    const TensorShape &a = context->input(0).shape(), &b = context->input(1).shape();
    const int last = a.dims() - 1;
    OP_REQUIRES(context, a.dims() >= 2 && a.dims() == b.dims(),
                absl::InvalidArgumentError(type_string() + " takes matrices of one rank"));
    const int64_t depth = a.dim_size(turnedA_ ? last - 1 : last);
    OP_REQUIRES(context, depth == b.dim_size(turnedB_ ? last : last - 1),
                absl::InvalidArgumentError(type_string() + " takes matrices of one depth"));
    TensorShape shape = a;
    int64_t batch = 1, batchA = 1, batchB = 1;
    for (int i = 0; i < last - 1; i++) {
      batchA *= a.dim_size(i);
      batchB *= b.dim_size(i);
      shape.set_dim(i, std::max(a.dim_size(i), b.dim_size(i)));
      batch *= shape.dim_size(i);
    }
    OP_REQUIRES(context, (batchA == batch || batchA == 1) && (batchB == batch || batchB == 1),
                absl::InvalidArgumentError(type_string() + " takes as many matrices on either side, or one on one side"));
    const int64_t rows = a.dim_size(turnedA_ ? last : last - 1), columns = b.dim_size(turnedB_ ? last - 1 : last);
    shape.set_dim(last - 1, rows);
    shape.set_dim(last, columns);
    float* c = nullptr;
    OP_REQUIRES_OK(context, place(context, shape, &c));
    if (depth == 0) std::fill(c, c + batch * rows * columns, 0.f);
    if (batch * rows * columns * depth == 0) return;
    const uint16_t *narrowLeft = halves(context, 0), *narrowRight = halves(context, 1);
    const float *left = narrowLeft == nullptr ? floats(context, 0) : nullptr;
    const float *right = narrowRight == nullptr ? floats(context, 1) : nullptr;
    multiply(context, batch, [&](int64_t item) {
      const int64_t atA = (batchA == 1 ? 0 : item) * rows * depth, atB = (batchB == 1 ? 0 : item) * depth * columns;
      ProductJob job = {rows, columns, depth, turnedA_, turnedB_, nullptr, nullptr, c + item * rows * columns};
      if (narrowLeft == nullptr) job.a = left + atA;
      else job.narrowA = narrowLeft + atA;
      if (narrowRight == nullptr) job.b = right + atB;
      else job.narrowB = narrowRight + atB;
      return job;
    });
  }

 protected:
  // Computes as many products as are asked for. None of them is empty.
  virtual void multiply(OpKernelContext* context, int64_t count, const std::function<ProductJob(int64_t)>& product) = 0;

  static int64_t threadsOf(OpKernelContext* context) { return context->device()->tensorflow_cpu_worker_threads()->num_threads; }
};

class Product : public ProductKernel {
 public:
  using ProductKernel::ProductKernel;

 protected:
  void multiply(OpKernelContext* context, int64_t count, const std::function<ProductJob(int64_t)>& product) override {
    const ProductJob one = product(0);
    const int64_t stripColumns = instructionSet() == InstructionSet::avx512 ? 64 : 16;
    const ProductCut cut(one, 6, stripColumns, threadsOf(context), true);
    const int64_t groups = (one.rows + kTurnedRows - 1) / kTurnedRows, size = groups * kTurnedRows * one.depth;
    const Room<float> turned(one.turnedA ? count * size : 1);
    if (one.turnedA)
      inParallel(context, count * groups, kTurnedRows * one.depth / 4, [&](int64_t first, int64_t end) {
        for (int64_t i = first; i < end; i++) {
          const ProductJob job = product(i / groups);
          const int64_t row = i % groups * kTurnedRows;
          RM_CALL(packTurnedRows, job, row, std::min(job.rows, row + kTurnedRows), turned.get() + i / groups * size);
        }
      });
    inParallel(context, count * cut.parts(), one.rows * one.columns * one.depth / cut.parts() / 16 + 1, [&](int64_t first, int64_t end) {
      for (int64_t i = first; i < end; i++) {
        ProductJob job = product(i / cut.parts());
        if (job.turnedA) job.a = turned.get() + i / cut.parts() * size;
        const ProductPart part = cut.part(job.rows, job.columns, i % cut.parts());
        RM_CALL(multiplyPart, job, part);
      }
    });
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterProduct").Device(tensorflow::DEVICE_CPU), Product);

class NarrowProduct : public ProductKernel {
 public:
  using ProductKernel::ProductKernel;

 protected:
  void multiply(OpKernelContext* context, int64_t count, const std::function<ProductJob(int64_t)>& product) override {
    NarrowProductJob job = {product(0), nullptr, nullptr};
    const Room<uint32_t> left(job.leftWords()), right(job.rightWords());
    const ProductCut cut(job.product, multipliesTiles() ? 32 : 6, kNarrowUnit, threadsOf(context), false);
    const int64_t flops = job.product.rows * job.product.columns * job.product.depth;
    for (int64_t item = 0; item < count; item++) {
      job = {product(item), left.get(), right.get()};
      const int64_t groups = multipliesTiles() && job.readsRows() ? 0 : job.groups();
      // Both operands in one go: who has packed his share of one helps with the other.
      inParallel(context, groups + job.units(), job.pairs() * kNarrowUnit / 4, [&](int64_t first, int64_t end) {
        if (first < groups) RM_CALL_TILES(packNarrowRows, job, first, std::min(end, groups));
        if (end > groups) RM_CALL_TILES(packNarrowColumns, job, std::max(first, groups) - groups, end - groups);
      });
      inParallel(context, cut.parts(), flops / cut.parts() / 32 + 1, [&](int64_t first, int64_t end) {
        for (int64_t i = first; i < end; i++) {
          const ProductPart part = cut.part(job.product.rows, job.product.columns, i);
          RM_CALL_TILES(multiplyNarrowPart, job, part);
        }
      });
    }
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterNarrowProduct").Device(tensorflow::DEVICE_CPU), NarrowProduct);

}  // namespace ringmaster
