// Memory that processes of one host share: a file that has no name lies under memory of one process, and others map it to read
// it. Linux only; `isSupported` is false elsewhere. All arguments are checked here, because a wrong one would end the process.
#include <node_api.h>

#include <atomic>
#include <cstdint>
#include <cstring>
#include <string>

#include "carrier.h"
#include "loops.h"

#ifdef __linux__
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cerrno>
#endif

namespace {

napi_value Fail(napi_env env, const std::string &message) {
  napi_throw_error(env, nullptr, message.c_str());
  return nullptr;
}

#ifdef __linux__

napi_value FailBySystem(napi_env env, const char *what) {
  return Fail(env, std::string("Cannot ") + what + ": " + std::strerror(errno));
}

// The arguments of a call, all of which must be there.
template <size_t kCount>
bool ReadArguments(napi_env env, napi_callback_info info, napi_value (&values)[kCount]) {
  size_t count = kCount;
  return napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count >= kCount;
}

struct Bytes {
  uint8_t *data;
  size_t length;
};

bool ReadBytes(napi_env env, napi_value value, Bytes *bytes) {
  napi_typedarray_type type;
  void *data = nullptr;
  if (napi_get_typedarray_info(env, value, &type, &bytes->length, &data, nullptr, nullptr) != napi_ok) return false;
  bytes->data = static_cast<uint8_t *>(data);
  return type == napi_uint8_array;
}

// A whole number from 0 to 2^53.
bool ReadWhole(napi_env env, napi_value value, size_t *whole) {
  double number = 0;
  if (napi_get_value_double(env, value, &number) != napi_ok) return false;
  if (!(number >= 0 && number <= 9007199254740992.0)) return false;
  *whole = static_cast<size_t>(number);
  return static_cast<double>(*whole) == number;
}

// A file that another process has made, mapped to be read.
struct Mapping {
  const uint8_t *data;
  size_t length;

  void Close() {
    if (data != nullptr) munmap(const_cast<uint8_t *>(data), length);
    data = nullptr;
    length = 0;
  }
};

void DeleteMapping(napi_env, void *data, void *) {
  Mapping *mapping = static_cast<Mapping *>(data);
  mapping->Close();
  delete mapping;
}

constexpr napi_type_tag kMappingTag = {0x52696e676d617374, 0x6d656d6f727966};

bool ReadMapping(napi_env env, napi_value value, Mapping **mapping) {
  bool is_mapping = false;
  if (napi_check_object_type_tag(env, value, &kMappingTag, &is_mapping) != napi_ok || !is_mapping) return false;
  void *data = nullptr;
  if (napi_unwrap(env, value, &data) != napi_ok) return false;
  *mapping = static_cast<Mapping *>(data);
  return true;
}

// layUnder(bytes): puts a new file under whole pages of memory, which hold zeros from then on; what was there is lost. The file can
// neither grow nor shrink, so whoever maps it never meets a page that is not there. Returns its descriptor.
napi_value LayUnder(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Bytes bytes;
  if (!ReadArguments(env, info, arguments) || !ReadBytes(env, arguments[0], &bytes))
    return Fail(env, "Cannot lay a file under what is no Uint8Array");
  const size_t page = sysconf(_SC_PAGESIZE);
  if (bytes.length == 0 || bytes.length % page != 0 || reinterpret_cast<uintptr_t>(bytes.data) % page != 0)
    return Fail(env, "Cannot lay a file under memory that is not whole pages");
  const int descriptor = memfd_create("ringmaster", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (descriptor < 0) return FailBySystem(env, "make a file in memory");
  const bool is_sized = ftruncate(descriptor, static_cast<off_t>(bytes.length)) == 0 &&
                        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0;
  const bool lies = is_sized && mmap(bytes.data, bytes.length, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                                     descriptor, 0) != MAP_FAILED;
  if (!lies) {
    FailBySystem(env, "lay a file under memory");
    close(descriptor);
    return nullptr;
  }
  napi_value result;
  return napi_create_int32(env, descriptor, &result) == napi_ok ? result : nullptr;
}

// map(descriptor, bytes): maps a file made by `layUnder` to be read. Returns the mapping; the descriptor may be closed.
napi_value Map(napi_env env, napi_callback_info info) {
  napi_value arguments[2];
  size_t descriptor = 0;
  size_t length = 0;
  if (!ReadArguments(env, info, arguments) || !ReadWhole(env, arguments[0], &descriptor) ||
      !ReadWhole(env, arguments[1], &length) || length == 0)
    return Fail(env, "Cannot map a file: expected its descriptor and its bytes");
  const int file = static_cast<int>(descriptor);
  const int seals = fcntl(file, F_GET_SEALS);
  if (seals < 0 || (seals & F_SEAL_SHRINK) == 0) return Fail(env, "Cannot map a file that may shrink");
  if (lseek(file, 0, SEEK_END) < static_cast<off_t>(length)) return Fail(env, "Cannot map a file that is too short");
  void *data = mmap(nullptr, length, PROT_READ, MAP_SHARED, file, 0);
  if (data == MAP_FAILED) return FailBySystem(env, "map a file");
  Mapping *mapping = new Mapping{static_cast<const uint8_t *>(data), length};
  napi_value result;
  if (napi_create_object(env, &result) != napi_ok ||
      napi_wrap(env, result, mapping, DeleteMapping, nullptr, nullptr) != napi_ok) {
    DeleteMapping(env, mapping, nullptr);
    return Fail(env, "Cannot hold a mapping");
  }
  return napi_type_tag_object(env, result, &kMappingTag) == napi_ok ? result : nullptr;
}

// read(mapping, position, target): copies bytes out.
napi_value Read(napi_env env, napi_callback_info info) {
  napi_value arguments[3];
  Mapping *mapping = nullptr;
  size_t position = 0;
  Bytes target;
  if (!ReadArguments(env, info, arguments) || !ReadMapping(env, arguments[0], &mapping) ||
      !ReadWhole(env, arguments[1], &position) || !ReadBytes(env, arguments[2], &target))
    return Fail(env, "Cannot read: expected a mapping, a position and a Uint8Array");
  if (position > mapping->length || target.length > mapping->length - position)
    return Fail(env, "Cannot read beyond the end of a mapping");
  // What a signal was seen for is not read before that.
  std::atomic_thread_fence(std::memory_order_seq_cst);
  std::memcpy(target.data, mapping->data + position, target.length);
  return nullptr;
}

// order(): what was written before is seen by others before what is written from here on.
napi_value Order(napi_env, napi_callback_info) {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  return nullptr;
}

// unmap(mapping): lets go of it; it is empty from then on.
napi_value Unmap(napi_env env, napi_callback_info info) {
  napi_value arguments[1];
  Mapping *mapping = nullptr;
  if (!ReadArguments(env, info, arguments) || !ReadMapping(env, arguments[0], &mapping))
    return Fail(env, "Cannot unmap what is no mapping");
  mapping->Close();
  return nullptr;
}

#else

napi_value Unsupported(napi_env env, napi_callback_info) { return Fail(env, "Cannot share memory on this system"); }
constexpr napi_callback LayUnder = Unsupported, Map = Unsupported, Read = Unsupported, Order = Unsupported, Unmap = Unsupported;

#endif

napi_value Start(napi_env env, napi_value exports) {
  napi_value supported;
#ifdef __linux__
  napi_get_boolean(env, true, &supported);
#else
  napi_get_boolean(env, false, &supported);
#endif
  const napi_property_descriptor properties[] = {
      {"layUnder", nullptr, LayUnder, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"map", nullptr, Map, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"read", nullptr, Read, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"order", nullptr, Order, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"unmap", nullptr, Unmap, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"loopsOver", nullptr, ringmaster::LoopsOver, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"openCarrier", nullptr, ringmaster::OpenCarrier, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"carry", nullptr, ringmaster::Carry, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"stopCarrier", nullptr, ringmaster::StopCarrier, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"closeCarrier", nullptr, ringmaster::CloseCarrier, nullptr, nullptr, nullptr, napi_enumerable, nullptr},
      {"isSupported", nullptr, nullptr, nullptr, nullptr, supported, napi_enumerable, nullptr},
  };
  const size_t count = sizeof(properties) / sizeof(properties[0]);
  return napi_define_properties(env, exports, count, properties) == napi_ok ? exports : nullptr;
}

}  // namespace

NAPI_MODULE(ringmaster_memory_files, Start)
