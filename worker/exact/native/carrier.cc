// Node's way to carriers: a thread that runs one collective at a time over two sockets, and says when it is over.
#include "carrier.h"

#include "carry_loop.h"

#if defined(__linux__) && defined(RM_HAS_LOOPS)
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>

#include <memory>
#include <thread>

namespace ringmaster {
namespace {

constexpr napi_type_tag kCarrierTag = {0x52696e676d617374, 0x6361727269657273};

napi_value Fail(napi_env env, const char *message) {
  napi_throw_error(env, nullptr, message);
  return nullptr;
}

struct Carrier {
  CarryStreams streams;
  std::vector<uint8_t> scratch;
  std::thread thread;
  bool is_closing = false;

  void Stop() const {
    const uint64_t one = 1;
    // Full is readable too.
    if (streams.stop >= 0 && write(streams.stop, &one, sizeof one) < 0) return;
  }
  void Close() {
    is_closing = true;
    if (thread.joinable()) return;
    streams.pages.Close();
    for (int *file : {&streams.in, &streams.out, &streams.stop}) {
      if (*file >= 0) close(*file);
      *file = -1;
    }
  }
};

// A process that ends must not take memory from under the thread.
void EndThread(void *data) {
  Carrier *carrier = static_cast<Carrier *>(data);
  carrier->Stop();
  if (carrier->thread.joinable()) carrier->thread.join();
}

void DeleteCarrier(napi_env env, void *data, void *) {
  napi_remove_env_cleanup_hook(env, EndThread, data);
  EndThread(data);
  Carrier *carrier = static_cast<Carrier *>(data);
  carrier->Close();
  delete carrier;
}

// One collective.
struct Job {
  Carrier *carrier;
  CarryPlan plan;
  napi_threadsafe_function over = nullptr;
  // Keep the carrier and the memory.
  napi_ref carrier_kept = nullptr, memory_kept = nullptr;
  std::string failure;
  CarrySide side = CarrySide::kHere;
  bool was_stopped = false;
  std::vector<double> hops;
  uint64_t sent_bytes = 0, received_bytes = 0;

  void Run() {
    CarryLoop loop(carrier->streams, plan, carrier->scratch);
    loop.Run();
    failure = loop.failure, side = loop.side, was_stopped = loop.was_stopped, hops = loop.hops;
    sent_bytes = loop.sent_bytes, received_bytes = loop.received_bytes;
  }
};

template <size_t kCount>
bool ReadArguments(napi_env env, napi_callback_info info, napi_value (&values)[kCount]) {
  size_t count = kCount;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count >= kCount;
}

Carrier *CarrierOf(napi_env env, napi_value object) {
  bool is_carrier = false;
  void *carrier = nullptr;
  if (napi_check_object_type_tag(env, object, &kCarrierTag, &is_carrier) != napi_ok || !is_carrier) return nullptr;
  return napi_unwrap(env, object, &carrier) == napi_ok ? static_cast<Carrier *>(carrier) : nullptr;
}

bool ReadNumbers(napi_env env, napi_value value, Numbers *numbers) {
  napi_typedarray_type type;
  void *data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &numbers->length, &data, nullptr, nullptr) != napi_ok) return false;
  numbers->data = static_cast<const double *>(data);
  return type == napi_float64_array;
}

// The collective is over: back on node's thread.
void TellOver(napi_env env, napi_value done, void *, void *data) {
  std::unique_ptr<Job> job(static_cast<Job *>(data));
  // Node ends, and the carrier with it.
  if (env == nullptr) return;
  Carrier *carrier = job->carrier;
  if (carrier->thread.joinable()) carrier->thread.join();
  if (carrier->is_closing) carrier->Close();
  napi_value values[5], undefined, hop;
  const bool went_well = job->failure.empty() && !job->was_stopped;
  const char *side = job->side == CarrySide::kLeft ? "left" : job->side == CarrySide::kRight ? "right" : "here";
  napi_get_undefined(env, &undefined);
  if (went_well) napi_get_null(env, &values[0]);
  else napi_create_string_utf8(env, job->failure.c_str(), NAPI_AUTO_LENGTH, &values[0]);
  napi_create_string_utf8(env, side, NAPI_AUTO_LENGTH, &values[1]);
  napi_create_array_with_length(env, job->hops.size(), &values[2]);
  for (size_t i = 0; i < job->hops.size(); i++) {
    napi_create_double(env, job->hops[i], &hop);
    napi_set_element(env, values[2], i, hop);
  }
  napi_create_double(env, job->sent_bytes, &values[3]);
  napi_create_double(env, job->received_bytes, &values[4]);
  napi_delete_reference(env, job->carrier_kept);
  napi_delete_reference(env, job->memory_kept);
  job.reset();
  napi_call_function(env, undefined, done, 5, values, nullptr);
}

}  // namespace

napi_value OpenCarrier(napi_env env, napi_callback_info info) {
  constexpr size_t kNumbers = 8;
  napi_value values[kNumbers], object;
  double numbers[kNumbers];
  bool reads = ReadArguments(env, info, values);
  for (size_t i = 0; reads && i < kNumbers; i++)
    reads = napi_get_value_double(env, values[i], &numbers[i]) == napi_ok && numbers[i] >= 0;
  if (!reads) return Fail(env, "Cannot open a carrier: expected eight numbers");
  if (!HasLoops()) return napi_get_null(env, &object) == napi_ok ? object : nullptr;
  std::unique_ptr<Carrier> carrier(new Carrier());
  CarryStreams &streams = carrier->streams;
  // Of their own, so that nobody closes them while they are used.
  streams.in = fcntl(static_cast<int>(numbers[0]), F_DUPFD_CLOEXEC, 3), streams.out = fcntl(static_cast<int>(numbers[1]), F_DUPFD_CLOEXEC, 3);
  streams.stop = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  streams.in_stream = static_cast<uint32_t>(numbers[2]), streams.out_stream = static_cast<uint32_t>(numbers[3]);
  streams.generation = static_cast<uint64_t>(numbers[4]);
  streams.connection_window = static_cast<int64_t>(numbers[5]), streams.stream_window = static_cast<int64_t>(numbers[6]);
  streams.grant_bytes = static_cast<uint64_t>(numbers[7]);
  if (streams.in < 0 || streams.out < 0 || streams.stop < 0) {
    carrier->Close();
    return Fail(env, "Cannot open a carrier as its sockets cannot be taken over");
  }
  LeaveUnpaced(streams.out);
  // Without, messages are copied.
  if (!IsPaced(streams.out)) streams.pages.Open();
  if (napi_create_object(env, &object) != napi_ok || napi_wrap(env, object, carrier.get(), DeleteCarrier, nullptr, nullptr) != napi_ok) {
    carrier->Close();
    return Fail(env, "Cannot hold a carrier");
  }
  napi_add_env_cleanup_hook(env, EndThread, carrier.release());
  return napi_type_tag_object(env, object, &kCarrierTag) == napi_ok ? object : nullptr;
}

napi_value Carry(napi_env env, napi_callback_info info) {
  napi_value values[9], name;
  if (!ReadArguments(env, info, values)) return Fail(env, "Cannot carry: expected nine arguments");
  Carrier *carrier = CarrierOf(env, values[0]);
  if (carrier == nullptr || carrier->streams.in < 0 || carrier->thread.joinable())
    return Fail(env, "Cannot carry: expected a carrier that is open and has nothing else to do");
  CarryMemory memory = {};
  napi_typedarray_type type;
  size_t length = 0;
  void *data = nullptr;
  double collective = 0, half = 0;
  Numbers sum, pieces[3];
  bool reads = napi_get_typedarray_info(env, values[1], &type, &length, &data, nullptr, nullptr) == napi_ok && type == napi_uint8_array &&
               napi_get_value_double(env, values[2], &collective) == napi_ok && collective >= 0 &&
               napi_get_value_double(env, values[3], &half) == napi_ok && half >= 0 && ReadNumbers(env, values[4], &sum);
  for (size_t i = 0; reads && i < 3; i++) reads = ReadNumbers(env, values[5 + i], &pieces[i]);
  if (!reads) return Fail(env, "Cannot carry: expected a memory, two numbers and four Float64Array");
  memory = {static_cast<uint8_t *>(data), length};
  std::unique_ptr<Job> job(new Job());
  CarryPlan &plan = job->plan;
  job->carrier = carrier;
  plan.collective = static_cast<uint64_t>(collective), plan.half = static_cast<uint32_t>(half), plan.has_sum = sum.length > 0;
  const CarriedSum *summed = plan.has_sum ? &plan.sum : nullptr;
  if ((plan.has_sum && !ReadSum(memory, sum, &plan.sum)) || !ReadPieces(memory, pieces[0], summed, &plan.begun) ||
      !ReadPieces(memory, pieces[1], summed, &plan.expected) || !ReadPieces(memory, pieces[2], summed, &plan.told))
    return Fail(env, "Cannot carry beyond its memory");
  if (napi_create_string_utf8(env, "ringmaster carrier", NAPI_AUTO_LENGTH, &name) != napi_ok ||
      napi_create_threadsafe_function(env, values[8], nullptr, name, 0, 1, nullptr, nullptr, nullptr, TellOver, &job->over) != napi_ok)
    return Fail(env, "Cannot carry: expected a function to call when it is over");
  napi_create_reference(env, values[0], 1, &job->carrier_kept);
  napi_create_reference(env, values[1], 1, &job->memory_kept);
  carrier->thread = std::thread([job = job.release()] {
    // For who looks at threads.
    pthread_setname_np(pthread_self(), "carrier");
    // `splice` knows no MSG_NOSIGNAL.
    sigset_t broken;
    sigemptyset(&broken), sigaddset(&broken, SIGPIPE);
    pthread_sigmask(SIG_BLOCK, &broken, nullptr);
    job->Run();
    const napi_threadsafe_function over = job->over;
    // One that node has taken down, as the process ends, must not be touched again (Node-API, `napi_closing`).
    if (napi_call_threadsafe_function(over, job, napi_tsfn_blocking) == napi_ok) napi_release_threadsafe_function(over, napi_tsfn_release);
    else delete job;
  });
  return nullptr;
}

napi_value StopCarrier(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Carrier *carrier = ReadArguments(env, info, values) ? CarrierOf(env, values[0]) : nullptr;
  if (carrier == nullptr) return Fail(env, "Cannot stop what is no carrier");
  carrier->Stop();
  return nullptr;
}

napi_value CloseCarrier(napi_env env, napi_callback_info info) {
  napi_value values[1];
  Carrier *carrier = ReadArguments(env, info, values) ? CarrierOf(env, values[0]) : nullptr;
  if (carrier == nullptr) return Fail(env, "Cannot close what is no carrier");
  carrier->Stop();
  carrier->Close();
  return nullptr;
}

}  // namespace ringmaster

#else

namespace ringmaster {

napi_value OpenCarrier(napi_env env, napi_callback_info) {
  napi_value none;
  return napi_get_null(env, &none) == napi_ok ? none : nullptr;
}

static napi_value NoCarriers(napi_env env) {
  napi_throw_error(env, nullptr, "Cannot carry on this system");
  return nullptr;
}
napi_value Carry(napi_env env, napi_callback_info) { return NoCarriers(env); }
napi_value StopCarrier(napi_env env, napi_callback_info) { return NoCarriers(env); }
napi_value CloseCarrier(napi_env env, napi_callback_info) { return NoCarriers(env); }

}  // namespace ringmaster

#endif
