#pragma once
// Copies tensors one behind the other into memory that is fed, on a thread of its own: the run that asks for it ends at once, and
// whoever watches the mark knows when all of it is there. Until then nothing may change what is copied, and the caller keeps all
// memory that it has fed.
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>
#include "parallel.h"

namespace ringmaster {

REGISTER_OP("RingmasterCopyBeside")
    .Input("into: float").Input("marks: int32").Input("ticket: int32").Input("values: count * float")
    .Attr("count: int").Attr("part: int").Attr("fed: bool")
    .SetIsStateful()
    .SetShapeFn([](Inference*) { return absl::OkStatus(); });

class CopyBeside : public OpKernel {
  tensorflow::int64 part_;
  // Whether the values are fed too, as the memory is. What is fed may be let go of by the thread that has fed it only.
  bool fed_;
  std::mutex mutex_;
  std::thread thread_;

  struct Piece {
    float* to;
    const float* from;
    size_t bytes;
  };

  static void copy(const std::vector<Piece>& pieces) {
    // One section after the other: together they would take more cores from the step, and the first would be there later.
    static std::mutex turn;
    const std::lock_guard<std::mutex> lock(turn);
    for (const auto& [to, from, bytes] : pieces) std::memcpy(to, from, bytes);
  }

  void end() {
    if (thread_.joinable()) thread_.join();
  }

 public:
  explicit CopyBeside(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("part", &part_));
    OP_REQUIRES_OK(context, context->GetAttr("fed", &fed_));
  }
  ~CopyBeside() override { end(); }
  void Compute(OpKernelContext* context) override {
    const Tensor &into = context->input(0), &marks = context->input(1);
    // The run is for what it prepares.
    if (into.NumElements() == 0) return;
    float* to = const_cast<float*>(floats(context, 0));
    std::vector<Piece> pieces;
    std::vector<Tensor> held;
    int64_t size = 0;
    for (int input = 3; input < context->num_inputs(); input++) {
      const Tensor& value = context->input(input);
      pieces.push_back({to + size, floats(context, input), value.TotalBytes()});
      size += value.NumElements();
      if (!fed_) held.push_back(value);
    }
    OP_REQUIRES(context, size <= into.NumElements() && part_ < marks.NumElements(),
                tensorflow::errors::InvalidArgument("what is copied has no room in the memory that it is copied to"));
    int32_t* mark = const_cast<int32_t*>(integers(context, 1)) + part_;
    const int32_t ticket = *integers(context, 2);
    auto work = [pieces = std::move(pieces), held = std::move(held), mark, ticket]() mutable {
      copy(pieces);
      // An update finds its variables to be its own again when it sees the mark.
      held.clear();
      __atomic_store_n(mark, ticket, __ATOMIC_RELEASE);
    };
    const std::lock_guard<std::mutex> lock(mutex_);
    end();
    try {
      thread_ = std::thread(work);
    } catch (const std::system_error&) {
      // No thread is to be had: the step waits this once.
      work();
    }
  }
};
REGISTER_KERNEL_BUILDER(Name("RingmasterCopyBeside").Device(tensorflow::DEVICE_CPU), CopyBeside);

}  // namespace ringmaster
