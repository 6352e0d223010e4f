// Traces of single session runs: what TensorFlow notes of every op that it runs (RunMetadata). The binding asks for one
// run at a time (foundation/native/binding-patch.ts); all other runs are made as if there were no traces.
#pragma once
#include <node_api.h>
#include <string>
#include "tensorflow/c/c_api.h"

namespace ringmaster {

inline bool &trace_wanted() {
  static thread_local bool wanted = false;
  return wanted;
}

// The serialised RunMetadata of the last traced run.
inline std::string &last_trace() {
  static thread_local std::string trace;
  return trace;
}

// One run's trace, or none. What the run has noted is kept when this goes.
class RunTrace {
 public:
  RunTrace() : metadata_(trace_wanted() ? TF_NewBuffer() : nullptr) { trace_wanted() = false; }
  RunTrace(const RunTrace &) = delete;
  RunTrace &operator=(const RunTrace &) = delete;

  ~RunTrace() {
    if (metadata_ == nullptr) return;
    if (metadata_->data != nullptr)
      last_trace().assign(static_cast<const char *>(metadata_->data), metadata_->length);
    TF_DeleteBuffer(metadata_);
  }

  const TF_Buffer *options() const { return metadata_ == nullptr ? nullptr : &software_trace(); }
  TF_Buffer *metadata() const { return metadata_; }

 private:
  // RunOptions { trace_level: SOFTWARE_TRACE }: the executor's notes, without a device tracer (which would be one a process).
  static const TF_Buffer &software_trace() {
    static const char bytes[] = {0x08, 0x01};
    static const TF_Buffer buffer = {bytes, sizeof bytes, nullptr};
    return buffer;
  }

  TF_Buffer *metadata_;
};

// traceNextRun(): the next run of this thread is traced.
inline napi_value TraceNextRun(napi_env, napi_callback_info) {
  trace_wanted() = true;
  return nullptr;
}

// takeRunTrace(): an ArrayBuffer with the last traced run's RunMetadata, empty where there is none.
inline napi_value TakeRunTrace(napi_env env, napi_callback_info) {
  std::string trace;
  trace.swap(last_trace());
  trace_wanted() = false;
  void *data = nullptr;
  napi_value buffer = nullptr;
  if (napi_create_arraybuffer(env, trace.size(), &data, &buffer) != napi_ok) return nullptr;
  trace.copy(static_cast<char *>(data), trace.size());
  return buffer;
}

}  // namespace ringmaster
