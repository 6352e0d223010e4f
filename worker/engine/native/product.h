// Matrix products with the same bits for any number of threads, in the place of BatchMatMulV2: in float32, as oneDNN divides a sum
// over its threads on processors without AVX-512, and of operands that are rounded to bfloat16 on the way, so that
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

// c is cut into units of columns, and into rows where columns do not make units enough for threads to end together. Units that
// lie beside each other are computed as one part, so that who takes many of them packs or reads a's rows once.
struct ProductCut {
  int64_t rows, columns, tileRows, rowParts, columnUnits;

  // @param tileRows bounds of rows are multiples of it
  ProductCut(const ProductJob& job, int64_t tileRows, int64_t threads) : rows(job.rows), columns(job.columns), tileRows(tileRows) {
    columnUnits = (columns + kProductUnit - 1) / kProductUnit;
    rowParts = std::max<int64_t>(1, std::min((4 * threads + columnUnits - 1) / columnUnits, rows / 96));
  }
  int64_t units() const { return rowParts * columnUnits; }

  // Calls body(part) for parts that make up units first … end, which are counted row by row.
  template <class Body>
  void eachPart(int64_t first, int64_t end, const Body& body) const {
    while (first < end) {
      const int64_t i = first / columnUnits, j = first % columnUnits, count = std::min(end - first, columnUnits - j);
      body(ProductPart{rowBound(i), rowBound(i + 1), j * kProductUnit, std::min(columns, (j + count) * kProductUnit)});
      first += count;
    }
  }

 private:
  int64_t rowBound(int64_t part) const { return part == rowParts ? rows : rows * part / rowParts / tileRows * tileRows; }
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
    const ProductCut cut(one, plain::kTileRows, threadsOf(context));
    const int64_t units = cut.units();
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
    inParallel(context, count * units, one.rows * one.columns * one.depth / units / 16 + 1, [&](int64_t first, int64_t end) {
      for (int64_t item = first / units; item * units < end; item++) {
        ProductJob job = product(item);
        if (job.turnedA) job.a = turned.get() + item * size;
        cut.eachPart(std::max<int64_t>(0, first - item * units), std::min(units, end - item * units),
                     [&](const ProductPart& part) { RM_CALL(multiplyPart, job, part); });
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
    const ProductCut cut(job.product, multipliesTiles() ? 32 : plain::kTileRows, threadsOf(context));
    const int64_t flops = job.product.rows * job.product.columns * job.product.depth;
    for (int64_t item = 0; item < count; item++) {
      job = {product(item), left.get(), right.get()};
      const int64_t groups = job.readsRows(multipliesTiles()) ? 0 : job.groups();
      // Both operands in one go: who has packed his share of one helps with the other.
      inParallel(context, groups + job.units(), job.pairs() * kProductUnit / 4, [&](int64_t first, int64_t end) {
        if (first < groups) RM_CALL_TILES(packNarrowRows, job, first, std::min(end, groups));
        if (end > groups) RM_CALL_TILES(packNarrowColumns, job, std::max(first, groups) - groups, end - groups);
      });
      inParallel(context, cut.units(), flops / cut.units() / 32 + 1, [&](int64_t first, int64_t end) {
        cut.eachPart(first, end, [&](const ProductPart& part) { RM_CALL_TILES(multiplyNarrowPart, job, part); });
      });
    }
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterNarrowProduct").Device(tensorflow::DEVICE_CPU), NarrowProduct);

}  // namespace ringmaster
