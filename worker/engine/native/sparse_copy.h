#pragma once
// A copy for moments of tables, of which most rows may never have a gradient: pages of zeros take no memory before something is
// written to them, and marks tell AdamW where it need not look.
#include <sys/mman.h>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterSparseCopy")
    .Input("value: float").Output("copy: float")
    .SetShapeFn([](Inference* c) {
      c->set_output(0, c->input(0));
      return absl::OkStatus();
    });

// Fresh memory of the system, in small pages.
class SparseBuffer : public tensorflow::TensorBuffer {
  size_t bytes_;
  // Of each chunk whether it may have anything but zeros. Whoever writes to it marks it.
  std::vector<uint8_t> marks_;

  static void* map(size_t bytes) {
    void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANON, -1, 0);
    if (data == MAP_FAILED) return nullptr;
#ifdef MADV_NOHUGEPAGE
    madvise(data, bytes, MADV_NOHUGEPAGE);
#endif
    return data;
  }

 public:
  explicit SparseBuffer(size_t bytes)
      : TensorBuffer(map(bytes)), bytes_(bytes), marks_((bytes / sizeof(float) + kAdamChunk - 1) / kAdamChunk) {}
  ~SparseBuffer() override {
    if (data() != nullptr) munmap(data(), bytes_);
  }
  uint8_t* marks() { return marks_.data(); }
  size_t size() const override { return bytes_; }
  TensorBuffer* root_buffer() override { return this; }
  void FillAllocationDescription(tensorflow::AllocationDescription*) const override {}
  bool GetAllocatedBytes(size_t* bytes) const override {
    *bytes = bytes_;
    return true;
  }
};

class SparseCopy : public OpKernel {
 public:
  explicit SparseCopy(OpKernelConstruction* context) : OpKernel(context) {}
  void Compute(OpKernelContext* context) override {
    const Tensor& value = context->input(0);
    const size_t bytes = value.TotalBytes();
    if (bytes == 0) return context->set_output(0, value);
    tensorflow::core::RefCountPtr<SparseBuffer> buffer(new SparseBuffer(bytes));
    char* to = buffer->base<char>();
    uint8_t* marks = buffer->marks();
    OP_REQUIRES(context, to != nullptr, tensorflow::errors::ResourceExhausted("no memory for a copy of ", bytes, " bytes"));
    const char* from = reinterpret_cast<const char*>(floats(context, 0));
    constexpr size_t chunk = kAdamChunk * sizeof(float);
    static const char zeros[chunk] = {};
    inParallel(context, (bytes + chunk - 1) / chunk, 60, [&](int64_t first, int64_t end) {
      for (int64_t k = first; k < end; k++) {
        const size_t at = k * chunk, length = std::min(chunk, bytes - at);
        marks[k] = std::memcmp(from + at, zeros, length) != 0;
        if (marks[k]) std::memcpy(to + at, from + at, length);
      }
    });
    context->set_output(0, Tensor(tensorflow::DT_FLOAT, value.shape(), buffer.get()));
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterSparseCopy").Device(tensorflow::DEVICE_CPU), SparseCopy);

}  // namespace ringmaster
