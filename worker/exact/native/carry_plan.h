// What a carrier is told of one collective: which pieces it begins with, which arrive and what becomes of them, which follow. Read from
// numbers that come from JavaScript; every place is checked against the memory once, here.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "hot_loops.h"

namespace ringmaster {

// What becomes of a piece that arrives.
enum class PieceKind : uint32_t {
  // This rank's integers are added, and passed on.
  kAdd,
  // The same, and scaled back: it is this rank's to make.
  kOwn,
  // It is put to its place.
  kPlace,
  // Its bytes are kept where they are larger than those of its place.
  kMax,
};

// One message.
struct Piece {
  uint32_t hop;
  PieceKind kind;
  // As the message says it.
  uint64_t offset, bytes;
  // Blocks of what is added or made.
  uint32_t first, end;
  // Where its bytes are once this rank has done its part.
  uint8_t *place;
};

// The integers that this rank makes of its floats, and what becomes of the sum (`quantise` and `sumAlone` of kernels.ts).
struct CarriedSum {
  SumVector vector;
  Integers integers;
  // Its blocks are the whole of `first` to `end`; sources begin with the first.
  LoopRun run;
  const uint32_t *bounds, *places;
  const uint8_t *exponents;
  int bits;
  uint32_t first, end;
  // Blocks of the vector that this rank makes.
  uint32_t own_first, own_end;
};

struct CarryPlan {
  uint64_t collective;
  // Hops until owners have all of theirs.
  uint32_t half;
  bool has_sum;
  CarriedSum sum;
  std::vector<Piece> begun, expected, told;
};

// Numbers as JavaScript has them.
struct Numbers {
  const double *data;
  size_t length;
};

// Memory that a plan's places lie in.
struct CarryMemory {
  uint8_t *data;
  uint64_t length;

  // What lies `count` elements long at an offset; null where that reaches beyond the memory, or the offset is none.
  template <class T>
  T *At(double offset, uint64_t count) const {
    if (!(offset >= 0) || offset > static_cast<double>(length)) return nullptr;
    const uint64_t at = static_cast<uint64_t>(offset);
    const bool fits = at % sizeof(T) == 0 && count <= (length - at) / sizeof(T);
    return fits ? reinterpret_cast<T *>(data + at) : nullptr;
  }
  template <class T>
  uint64_t RoomOf(const T *from) const {
    return (data + length - reinterpret_cast<const uint8_t *>(from)) / sizeof(T);
  }
};

// Numbers of a piece: hop, kind, offset, bytes, first block, end, place.
constexpr size_t kPieceNumbers = 7;
// Numbers of a sum: bits, vector, integers, bounds, exponents, places, filled, squares, blocks, first, end, own first, own end, then
// the sources.
constexpr size_t kSumNumbers = 13;

inline bool ReadSum(const CarryMemory &memory, const Numbers &numbers, CarriedSum *sum) {
  if (numbers.length <= kSumNumbers || numbers.length - kSumNumbers > static_cast<size_t>(kSourcesMax)) return false;
  const double *n = numbers.data;
  const auto block = [&](size_t i) { return n[i] >= 0 && n[i] < 4294967296.0 ? static_cast<uint32_t>(n[i]) : 0; };
  sum->bits = static_cast<int>(n[0]);
  sum->first = block(9), sum->end = block(10), sum->own_first = block(11), sum->own_end = block(12);
  if (sum->end < sum->first || sum->own_end < sum->own_first || sum->own_end > sum->end) return false;
  const uint64_t count = sum->end;
  sum->vector = {memory.At<float>(n[1], 0), 0, memory.At<uint8_t>(n[6], count), memory.At<double>(n[7], count)};
  sum->integers = {memory.At<int32_t>(n[2], 0), 0};
  sum->bounds = memory.At<uint32_t>(n[3], count + 1);
  sum->exponents = memory.At<uint8_t>(n[4], count);
  sum->places = memory.At<uint32_t>(n[5], count);
  LoopRun &run = sum->run;
  run.keys = nullptr, run.others = nullptr;
  run.count = sum->end - sum->first;
  run.blocks = memory.At<uint32_t>(n[8], run.count);
  run.sourceCount = numbers.length - kSumNumbers;
  run.room = memory.length;
  if (sum->vector.data == nullptr || sum->vector.filled == nullptr || sum->vector.squares == nullptr ||
      sum->integers.data == nullptr || sum->bounds == nullptr || sum->exponents == nullptr || sum->places == nullptr ||
      run.blocks == nullptr)
    return false;
  sum->vector.room = memory.RoomOf(sum->vector.data);
  sum->integers.room = memory.RoomOf(sum->integers.data);
  for (int64_t s = 0; s < run.sourceCount; s++) {
    run.sources[s] = memory.At<float>(n[kSumNumbers + s], 0);
    if (run.sources[s] == nullptr) return false;
    run.room = std::min<uint64_t>(run.room, memory.RoomOf(run.sources[s]));
  }
  for (uint32_t b = sum->first; b < sum->end; b++)
    if (sum->bounds[b + 1] < sum->bounds[b] || run.blocks[b - sum->first] != b) return false;
  return true;
}

inline bool ReadPieces(const CarryMemory &memory, const Numbers &numbers, const CarriedSum *sum, std::vector<Piece> *pieces) {
  if (numbers.length % kPieceNumbers != 0) return false;
  for (size_t at = 0; at < numbers.length; at += kPieceNumbers) {
    const double *n = numbers.data + at;
    for (size_t i = 0; i < kPieceNumbers; i++)
      if (!(n[i] >= 0 && n[i] <= 9007199254740992.0)) return false;
    Piece piece = {static_cast<uint32_t>(n[0]), static_cast<PieceKind>(static_cast<uint32_t>(n[1])), static_cast<uint64_t>(n[2]),
                   static_cast<uint64_t>(n[3]), static_cast<uint32_t>(n[4]), static_cast<uint32_t>(n[5]), nullptr};
    piece.place = memory.At<uint8_t>(n[6], piece.bytes);
    if (piece.place == nullptr || piece.bytes == 0 || piece.kind > PieceKind::kMax) return false;
    const bool sums = piece.kind == PieceKind::kAdd || piece.kind == PieceKind::kOwn;
    if (sums) {
      const bool are_blocks = sum != nullptr && piece.first >= sum->first && piece.first < piece.end && piece.end <= sum->end;
      if (!are_blocks || (uint64_t)(sum->bounds[piece.end] - sum->bounds[piece.first]) * sizeof(float) != piece.bytes) return false;
    }
    pieces->push_back(piece);
  }
  return true;
}

}  // namespace ringmaster
