// Node's way to the hot loops. Whatever pointers and counts say, nothing beyond the memory is read or written.
#include "loops.h"

#include <string>

#include "hot_loops.h"

namespace ringmaster {

#ifdef RM_HAS_LOOPS

namespace {

constexpr size_t kArgumentsMax = 12;
constexpr napi_type_tag kLoopsTag = {0x52696e676d617374, 0x686f746c6f6f7073};

// A memory, and the hash that is being made of bytes of it.
struct Loops {
  uint8_t *data;
  uint64_t length;
  Xxh64 hash;

  // What lies `count` elements long at an offset; null where that reaches beyond the memory.
  template <class T>
  T *At(uint64_t offset, uint64_t count) const {
    const bool fits = offset % sizeof(T) == 0 && offset <= length && count <= (length - offset) / sizeof(T);
    return fits ? reinterpret_cast<T *>(data + offset) : nullptr;
  }
  template <class T>
  uint64_t RoomAt(uint64_t offset) const {
    return offset > length ? 0 : (length - offset) / sizeof(T);
  }
  Integers IntegersAt(uint64_t offset) const { return {At<int32_t>(offset, 0), RoomAt<int32_t>(offset)}; }

  // @param keys 0: values are rounded to the nearest
  // @param others 0: nothing is added
  bool ReadRun(uint64_t sources, uint64_t keys, uint64_t sourceCount, uint64_t blocks, uint64_t count, uint64_t others,
               LoopRun *run) const {
    const uint32_t *offsets = At<uint32_t>(sources, sourceCount);
    run->blocks = At<uint32_t>(blocks, count);
    run->keys = keys == 0 ? nullptr : At<uint32_t>(keys, sourceCount);
    if (keys != 0 && run->keys == nullptr) return false;
    if (offsets == nullptr || run->blocks == nullptr || sourceCount < 1 || sourceCount > kSourcesMax) return false;
    run->room = others == 0 ? length : RoomAt<int32_t>(others);
    run->others = others == 0 ? nullptr : At<int32_t>(others, 0);
    if (others != 0 && run->others == nullptr) return false;
    run->sourceCount = sourceCount, run->count = count;
    for (uint64_t s = 0; s < sourceCount; s++) {
      run->sources[s] = At<float>(offsets[s], 0);
      run->room = std::min(run->room, RoomAt<float>(offsets[s]));
      if (run->sources[s] == nullptr) return false;
    }
    return true;
  }

  // What is known of blocks, of which there are as many as a run names: the largest number decides.
  uint64_t BlocksOf(const LoopRun &run) const {
    uint32_t most = 0;
    for (int64_t i = 0; i < run.count; i++) most = std::max(most, run.blocks[i]);
    return run.count == 0 ? 0 : (uint64_t)most + 1;
  }
};

using Arguments = uint32_t[kArgumentsMax];

bool Raise(Loops &loops, const Arguments &a) {
  LoopRun run;
  run.sources[0] = loops.At<float>(a[1], 0);
  run.room = loops.RoomAt<float>(a[1]);
  run.sourceCount = 1, run.count = a[3];
  run.blocks = loops.At<uint32_t>(a[2], a[3]);
  if (run.blocks == nullptr || run.sources[0] == nullptr) return false;
  const uint64_t blocks = loops.BlocksOf(run);
  uint8_t *exponents = loops.At<uint8_t>(a[0], blocks);
  const uint32_t *bounds = loops.At<uint32_t>(a[4], blocks + 1);
  return exponents != nullptr && bounds != nullptr && RM_CALL_LOOP(RaiseExponents, exponents, run, bounds);
}

bool Quantise(Loops &loops, const Arguments &a) {
  LoopRun run;
  if (!loops.ReadRun(a[1], a[2], a[3], a[4], a[5], a[11], &run)) return false;
  const uint64_t blocks = loops.BlocksOf(run);
  const Integers sums = loops.IntegersAt(a[0]);
  const uint32_t *bounds = loops.At<uint32_t>(a[6], blocks + 1), *places = loops.At<uint32_t>(a[8], blocks);
  const uint8_t *exponents = loops.At<uint8_t>(a[7], blocks);
  if (sums.data == nullptr || bounds == nullptr || places == nullptr || exponents == nullptr) return false;
  return RM_CALL_LOOP(Quantise, sums, run, bounds, exponents, places, a[9], a[10] != 0);
}

bool ScaleBack(Loops &loops, const Arguments &a) {
  const uint64_t blocks = a[2];
  const Integers sums = loops.IntegersAt(a[1]);
  const SumVector vector = {loops.At<float>(a[0], 0), loops.RoomAt<float>(a[0]), loops.At<uint8_t>(a[6], blocks),
                            loops.At<double>(a[7], blocks)};
  const uint32_t *bounds = loops.At<uint32_t>(a[3], blocks + 1), *places = loops.At<uint32_t>(a[5], blocks);
  const uint8_t *exponents = loops.At<uint8_t>(a[4], blocks);
  const bool fits = sums.data != nullptr && vector.data != nullptr && vector.filled != nullptr && vector.squares != nullptr &&
                    bounds != nullptr && places != nullptr && exponents != nullptr;
  // The first of the blocks with bits of their own may lie before all of these.
  const int64_t wide = static_cast<int32_t>(a[9]);
  return fits && RM_CALL_LOOP(ScaleBack, vector, sums, blocks, bounds, exponents, places, a[8], wide, a[10]);
}

bool SumAlone(Loops &loops, const Arguments &a) {
  LoopRun run;
  if (!loops.ReadRun(a[1], a[2], a[3], a[4], a[5], a[11], &run)) return false;
  const uint64_t blocks = loops.BlocksOf(run);
  const SumVector vector = {loops.At<float>(a[0], 0), loops.RoomAt<float>(a[0]), loops.At<uint8_t>(a[7], blocks),
                            loops.At<double>(a[8], blocks)};
  const uint32_t *bounds = loops.At<uint32_t>(a[6], blocks + 1);
  const uint8_t *agreed = a[10] == 0 ? nullptr : loops.At<uint8_t>(a[10], blocks);
  const bool fits = vector.data != nullptr && vector.filled != nullptr && vector.squares != nullptr && bounds != nullptr &&
                    (agreed != nullptr || a[10] == 0);
  return fits && RM_CALL_LOOP(SumAlone, vector, run, bounds, a[9], agreed);
}

bool AddIntegers(Loops &loops, const Arguments &a) {
  uint32_t *sums = loops.At<uint32_t>(a[0], a[2]);
  const uint32_t *others = loops.At<uint32_t>(a[1], a[2]);
  if (sums == nullptr || others == nullptr) return false;
  RM_CALL_LOOP(AddIntegers, sums, others, a[2]);
  return true;
}

bool StartHash(Loops &loops, const Arguments &) {
  loops.hash.Start();
  return true;
}

bool HashStripes(Loops &loops, const Arguments &a) {
  const uint8_t *data = loops.At<uint8_t>(a[0], (uint64_t)a[1] * 32);
  if (data == nullptr) return false;
  loops.hash.Stripes(data, a[1]);
  return true;
}

using Loop = bool (*)(Loops &, const Arguments &);

// A method: the offsets and counts that it is given go to the loop.
struct Method {
  const char *name;
  size_t count;
  Loop loop;
};

constexpr Method kMethods[] = {
    {"raiseExponents", 5, Raise}, {"quantise", 12, Quantise},       {"scaleBack", 11, ScaleBack}, {"sumAlone", 12, SumAlone},
    {"addIntegers", 3, AddIntegers}, {"start", 0, StartHash}, {"stripes", 2, HashStripes},
};

napi_value Fail(napi_env env, const std::string &message) {
  napi_throw_error(env, nullptr, message.c_str());
  return nullptr;
}

Loops *LoopsOf(napi_env env, napi_value object) {
  bool are_loops = false;
  void *loops = nullptr;
  if (napi_check_object_type_tag(env, object, &kLoopsTag, &are_loops) != napi_ok || !are_loops) return nullptr;
  return napi_unwrap(env, object, &loops) == napi_ok ? static_cast<Loops *>(loops) : nullptr;
}

napi_value CallMethod(napi_env env, napi_callback_info info) {
  napi_value values[kArgumentsMax], self;
  size_t count = kArgumentsMax;
  void *data = nullptr;
  if (napi_get_cb_info(env, info, &count, values, &self, &data) != napi_ok) return nullptr;
  const Method &method = *static_cast<const Method *>(data);
  Loops *loops = LoopsOf(env, self);
  Arguments arguments = {};
  bool fits = loops != nullptr && count >= method.count;
  for (size_t i = 0; fits && i < method.count; i++) fits = napi_get_value_uint32(env, values[i], &arguments[i]) == napi_ok;
  if (!fits || !method.loop(*loops, arguments)) return Fail(env, std::string("Cannot run ") + method.name + " beyond its memory");
  return nullptr;
}

// finish(total, tail)
napi_value FinishHash(napi_env env, napi_callback_info info) {
  napi_value values[2], self, result;
  size_t count = 2;
  uint64_t total = 0;
  uint32_t tail = 0;
  bool lossless = false;
  if (napi_get_cb_info(env, info, &count, values, &self, nullptr) != napi_ok || count < 2) return nullptr;
  Loops *loops = LoopsOf(env, self);
  const bool fits = loops != nullptr && napi_get_value_bigint_uint64(env, values[0], &total, &lossless) == napi_ok && lossless &&
                    napi_get_value_uint32(env, values[1], &tail) == napi_ok && loops->At<uint8_t>(tail, total % 32) != nullptr;
  if (!fits) return Fail(env, "Cannot run finish beyond its memory");
  const uint64_t hash = loops->hash.Finish(total, loops->data + tail);
  return napi_create_bigint_uint64(env, hash, &result) == napi_ok ? result : nullptr;
}

// copy(target, source)
napi_value CopyBytes(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t count = 2, room = 0, length = 0;
  napi_typedarray_type types[2];
  void *to = nullptr, *from = nullptr;
  const bool fits = napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count >= 2 &&
                    napi_get_typedarray_info(env, values[0], &types[0], &room, &to, nullptr, nullptr) == napi_ok &&
                    napi_get_typedarray_info(env, values[1], &types[1], &length, &from, nullptr, nullptr) == napi_ok &&
                    types[0] == napi_uint8_array && types[1] == napi_uint8_array && length <= room;
  if (!fits) return Fail(env, "Cannot copy: expected two Uint8Array, the first no shorter than the second");
  if (length > 0) std::memmove(to, from, length);
  return nullptr;
}

// An array of signed integers.
struct IntegerArray {
  napi_typedarray_type type;
  size_t length;
  void *data;

  static bool Read(napi_env env, napi_value value, IntegerArray *array) {
    const bool read = napi_get_typedarray_info(env, value, &array->type, &array->length, &array->data, nullptr, nullptr) == napi_ok;
    return read && (array->type == napi_int32_array || array->type == napi_int16_array || array->type == napi_int8_array);
  }
};

template <class To>
void ConvertTo(const IntegerArray &to, const IntegerArray &from) {
  To *data = static_cast<To *>(to.data);
  const int64_t count = from.length;
  if (from.type == napi_int32_array) RM_CALL_LOOP(Convert, data, static_cast<const int32_t *>(from.data), count);
  else if (from.type == napi_int16_array) RM_CALL_LOOP(Convert, data, static_cast<const int16_t *>(from.data), count);
  else RM_CALL_LOOP(Convert, data, static_cast<const int8_t *>(from.data), count);
}

// convert(target, source)
napi_value ConvertIntegers(napi_env env, napi_callback_info info) {
  napi_value values[2];
  size_t count = 2;
  IntegerArray to, from;
  const bool fits = napi_get_cb_info(env, info, &count, values, nullptr, nullptr) == napi_ok && count >= 2 &&
                    IntegerArray::Read(env, values[0], &to) && IntegerArray::Read(env, values[1], &from) && from.length <= to.length;
  if (!fits) return Fail(env, "Cannot convert: expected two arrays of integers, the first no shorter than the second");
  if (to.type == napi_int32_array) ConvertTo<int32_t>(to, from);
  else if (to.type == napi_int16_array) ConvertTo<int16_t>(to, from);
  else ConvertTo<int8_t>(to, from);
  return nullptr;
}

void DeleteLoops(napi_env, void *data, void *) { delete static_cast<Loops *>(data); }

}  // namespace

napi_value LoopsOver(napi_env env, napi_callback_info info) {
  napi_value bytes, object, method;
  size_t count = 1, length = 0;
  napi_typedarray_type type;
  void *data = nullptr;
  if (napi_get_cb_info(env, info, &count, &bytes, nullptr, nullptr) != napi_ok || count < 1 ||
      napi_get_typedarray_info(env, bytes, &type, &length, &data, nullptr, nullptr) != napi_ok || type != napi_uint8_array)
    return Fail(env, "Cannot make loops over what is no Uint8Array");
  if (!HasLoops()) return napi_get_null(env, &object) == napi_ok ? object : nullptr;
  Loops *loops = new Loops{static_cast<uint8_t *>(data), length, {}};
  if (napi_create_object(env, &object) != napi_ok || napi_wrap(env, object, loops, DeleteLoops, nullptr, nullptr) != napi_ok) {
    delete loops;
    return Fail(env, "Cannot hold loops");
  }
  bool made = napi_type_tag_object(env, object, &kLoopsTag) == napi_ok;
  // The memory stays as long as the loops.
  made = made && napi_set_named_property(env, object, "memory", bytes) == napi_ok;
  for (const Method &one : kMethods)
    made = made && napi_create_function(env, one.name, NAPI_AUTO_LENGTH, CallMethod, const_cast<Method *>(&one), &method) == napi_ok &&
           napi_set_named_property(env, object, one.name, method) == napi_ok;
  made = made && napi_create_function(env, "finish", NAPI_AUTO_LENGTH, FinishHash, nullptr, &method) == napi_ok &&
         napi_set_named_property(env, object, "finish", method) == napi_ok &&
         napi_create_function(env, "copy", NAPI_AUTO_LENGTH, CopyBytes, nullptr, &method) == napi_ok &&
         napi_set_named_property(env, object, "copy", method) == napi_ok &&
         napi_create_function(env, "convert", NAPI_AUTO_LENGTH, ConvertIntegers, nullptr, &method) == napi_ok &&
         napi_set_named_property(env, object, "convert", method) == napi_ok && napi_object_freeze(env, object) == napi_ok;
  return made ? object : Fail(env, "Cannot make loops");
}

#else

napi_value LoopsOver(napi_env env, napi_callback_info) {
  napi_value none;
  return napi_get_null(env, &none) == napi_ok ? none : nullptr;
}

#endif

}  // namespace ringmaster
