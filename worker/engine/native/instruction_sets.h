#pragma once
// The loops for AVX-512, AVX2 and whatever else there is; RM_CALL takes the processor's best.
#include "jobs.h"

#define RM_INLINE static inline __attribute__((always_inline))

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__)
#define RM_SETS 1
#include <immintrin.h>
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma,prefer-vector-width=512")
#define RM_SET avx512
#define RM_REGISTER_BYTES 64
#include "loops.h"
#undef RM_SET
#undef RM_REGISTER_BYTES
#pragma GCC pop_options
// What takes bfloat16 is compiled for the instructions that are made for it, too.
#if __GNUC__ >= 11
#define RM_BFLOAT16
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,prefer-vector-width=512")
#define RM_REGISTER_BYTES 64
namespace ringmaster {
namespace avx512bf16 {
#include "vector.h"
#include "random_bits.h"
#include "pairs.h"
#include "small_products.h"
#include "product_loops.h"
#include "narrow_product_loops.h"
#include "row_loops.h"
#include "attention_loops.h"
}  // namespace avx512bf16
}  // namespace ringmaster
#undef RM_REGISTER_BYTES
#pragma GCC pop_options
#define RM_HAS_BFLOAT16 1
#ifdef __linux__
#include <sys/syscall.h>
#include <unistd.h>
#pragma GCC push_options
#pragma GCC target("avx512f,avx512bw,avx512dq,avx512vl,avx512bf16,avx2,fma,amx-tile,amx-bf16,prefer-vector-width=512")
#define RM_REGISTER_BYTES 64
#define RM_TILES
namespace ringmaster {
namespace amx {
#include "vector.h"
#include "random_bits.h"
#include "pairs.h"
#include "small_products.h"
#include "tile_products.h"
#include "tile_product_loops.h"
#include "attention_loops.h"
}  // namespace amx
}  // namespace ringmaster
#undef RM_TILES
#undef RM_REGISTER_BYTES
#pragma GCC pop_options
#define RM_HAS_TILES 1
#endif
#undef RM_BFLOAT16
#endif
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#define RM_SET avx2
#define RM_REGISTER_BYTES 32
#include "loops.h"
#undef RM_SET
#undef RM_REGISTER_BYTES
#pragma GCC pop_options
#endif
#define RM_SET plain
#define RM_REGISTER_BYTES 16
#include "loops.h"
#undef RM_SET
#undef RM_REGISTER_BYTES

namespace ringmaster {
enum class InstructionSet { plain, avx2, avx512 };

inline InstructionSet instructionSet() {
#ifdef RM_SETS
  static const InstructionSet best =
      __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")
          ? InstructionSet::avx512
          : (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? InstructionSet::avx2
                                                                             : InstructionSet::plain);
  return best;
#else
  return InstructionSet::plain;
#endif
}

inline bool multipliesBfloat16() {
#ifdef RM_HAS_BFLOAT16
  static const bool does = instructionSet() == InstructionSet::avx512 && __builtin_cpu_supports("avx512bf16");
  return does;
#else
  return false;
#endif
}

// Whether products of bfloat16 are computed tile by tile. Linux gives tiles to a process that asks.
inline bool multipliesTiles() {
#ifdef RM_HAS_TILES
  constexpr long askFor = 0x1023, tileData = 18;  // ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA
  static const bool does = multipliesBfloat16() && __builtin_cpu_supports("amx-tile") && __builtin_cpu_supports("amx-bf16") &&
                           syscall(SYS_arch_prctl, askFor, tileData) == 0;
  return does;
#else
  return false;
#endif
}
}  // namespace ringmaster

#ifdef RM_SETS
#define RM_CALL(LOOP, ...)                                                                 \
  do {                                                                                     \
    const auto set = ringmaster::instructionSet();                                         \
    if (set == ringmaster::InstructionSet::avx512) ringmaster::avx512::LOOP(__VA_ARGS__);  \
    else if (set == ringmaster::InstructionSet::avx2) ringmaster::avx2::LOOP(__VA_ARGS__); \
    else ringmaster::plain::LOOP(__VA_ARGS__);                                             \
  } while (false)
#else
#define RM_CALL(LOOP, ...) ringmaster::plain::LOOP(__VA_ARGS__)
#endif

#ifdef RM_HAS_BFLOAT16
#define RM_CALL_NARROW(LOOP, ...)                                                       \
  do {                                                                                  \
    if (ringmaster::multipliesBfloat16()) ringmaster::avx512bf16::LOOP(__VA_ARGS__);    \
    else RM_CALL(LOOP, __VA_ARGS__);                                                    \
  } while (false)
#else
#define RM_CALL_NARROW(LOOP, ...) RM_CALL(LOOP, __VA_ARGS__)
#endif

#ifdef RM_HAS_TILES
#define RM_CALL_TILES(LOOP, ...)                                           \
  do {                                                                     \
    if (ringmaster::multipliesTiles()) ringmaster::amx::LOOP(__VA_ARGS__); \
    else RM_CALL_NARROW(LOOP, __VA_ARGS__);                                \
  } while (false)
#else
#define RM_CALL_TILES(LOOP, ...) RM_CALL_NARROW(LOOP, __VA_ARGS__)
#endif
