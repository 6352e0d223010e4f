// One collective as a carrier runs it: what arrives is read, added to in a processor's cache, and passed on from there, without a turn
// of JavaScript between. Blocks that are whole are passed on while the rest of their message is on its way.
//
//   left neighbour ──► socket ──► scratch, or its place ──► this rank's part ──► socket ──► right neighbour
#pragma once
#ifdef __linux__
#include <poll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <string>
#include <vector>

#include "carry_frames.h"
#include "carry_plan.h"
#include "page_pipe.h"

namespace ringmaster {

// The two streams of a carrier, and what is known of them from one collective to the next.
struct CarryStreams {
  // Of the pull that this rank has opened, and of the one that it serves.
  int in, out;
  uint32_t in_stream, out_stream;
  uint64_t generation;
  // Bytes that the right neighbour takes of the connection and of the stream.
  int64_t connection_window, stream_window;
  // Of what has been sent on the stream, what it has not taken yet.
  uint64_t untaken = 0;
  // By which long messages are sent; closed where they are copied.
  PagePipe pages;
  // Bytes after which the left one hears that they have been taken.
  uint64_t grant_bytes;
  uint64_t taken = 0;
  // Readable once the collective is to stop.
  int stop;
  // What the right one says, as far as it has been read; and what the left one is to hear, as far as it has been sent.
  uint8_t control[kFrameHeadBytes + 4], grant[2 * (kFrameHeadBytes + 4)];
  uint32_t control_read = 0, control_skip = 0, grant_size = 0, grant_sent = 0;
};

// Where something has gone wrong.
enum class CarrySide { kLeft, kRight, kHere };

class CarryLoop {
  using Clock = std::chrono::steady_clock;
  // Bytes that are read or made before something is sent again: they are in the second-level cache then.
  static constexpr uint64_t kStrideBytes = 512 * 1024;
  // Longest control frame that is skipped.
  static constexpr uint32_t kControlBytesMax = 16 * 1024;
  // Bytes from which on a message may be lent to the kernel. Who receives one says at a collective's end that it has read all.
  static constexpr uint64_t kLentBytesMin = 64 * 1024;

  // A message to be sent, once its bytes are there.
  struct Outgoing {
    const Piece *piece;
    uint32_t hop;
    const uint8_t *data;
    uint64_t ready;
    // Made when its turn comes.
    bool is_begun;
  };

  CarryStreams &streams_;
  CarryPlan &plan_;
  std::vector<uint8_t> &scratch_;
  std::vector<Outgoing> sends_;
  // By expected piece, which message passes it on; -1 for none.
  std::vector<int64_t> passed_on_;
  size_t sending_ = 0, receiving_ = 0, told_from_ = 0;
  MessageHead out_head_, in_head_;
  uint32_t out_head_sent_ = 0, in_head_read_ = 0;
  uint64_t out_sent_ = 0, in_read_ = 0, in_done_ = 0;
  // Bytes in scratch that are no whole block yet.
  uint64_t in_held_ = 0;
  uint32_t in_block_ = 0, out_block_ = 0;
  uint8_t frame_[kFrameHeadBytes];
  uint32_t frame_read_ = 0, frame_skip_ = 0;
  bool out_is_full_ = false;
  // Whether messages have been lent, and whether those of the left neighbour may have been.
  bool has_lent_ = false, has_borrowed_ = false;
  Clock::time_point began_ = Clock::now();

 public:
  // Why it has not gone well; empty if it has.
  std::string failure;
  CarrySide side = CarrySide::kHere;
  bool was_stopped = false;
  // When each hop had been received whole, in milliseconds from the beginning.
  std::vector<double> hops;
  uint64_t sent_bytes = 0, received_bytes = 0;

  CarryLoop(CarryStreams &streams, CarryPlan &plan, std::vector<uint8_t> &scratch)
      : streams_(streams), plan_(plan), scratch_(scratch), passed_on_(plan.expected.size(), -1) {
    for (const Piece &piece : plan.begun) sends_.push_back({&piece, piece.hop, piece.place, 0, true});
    for (size_t i = 0; i < plan.expected.size(); i++) {
      const Piece &piece = plan.expected[i];
      has_borrowed_ = has_borrowed_ || piece.bytes >= kLentBytesMin;
      // At the last hop everybody has everything.
      if (piece.hop + 1 < 2 * plan.half) {
        passed_on_[i] = static_cast<int64_t>(sends_.size());
        sends_.push_back({&piece, piece.hop + 1, piece.place, 0, false});
      }
      if (EndsHop(i) && piece.hop + 1 == plan.half) {
        told_from_ = sends_.size();
        for (const Piece &further : plan.told) sends_.push_back({&further, further.hop, further.place, 0, false});
      }
    }
    uint64_t block_bytes = 0;
    if (plan.has_sum)
      for (uint32_t b = plan.sum.first; b < plan.sum.end; b++)
        block_bytes = std::max<uint64_t>(block_bytes, (plan.sum.bounds[b + 1] - plan.sum.bounds[b]) * sizeof(float));
    scratch_.resize(std::max<uint64_t>(scratch_.size(), kStrideBytes + block_bytes));
    BeginPiece();
  }

  // Runs to its end, or until it fails or is stopped. At the end nothing that was lent is in anybody's hands.
  void Run() {
    while (failure.empty() && !was_stopped && (sending_ < sends_.size() || receiving_ < plan_.expected.size() || OwesGrant() || HasLent())) {
      const bool sent = Send();
      const bool received = failure.empty() && Receive();
      if (failure.empty() && !sent && !received) Wait();
    }
  }

 private:
  bool HasLent() const { return has_lent_ && streams_.untaken > 0; }
  bool OwesGrant() const { return has_borrowed_ && (streams_.taken > 0 || streams_.grant_sent < streams_.grant_size); }

  bool EndsHop(size_t i) const { return i + 1 == plan_.expected.size() || plan_.expected[i + 1].hop != plan_.expected[i].hop; }

  MessageHead HeadOf(uint32_t stream, uint32_t hop, const Piece &piece) const {
    return {stream, {streams_.generation, plan_.collective, hop, piece.offset, piece.bytes}};
  }

  void Fail(CarrySide where, const std::string &why) {
    if (!failure.empty()) return;
    failure = why, side = where;
  }

  void FailBySystem(CarrySide where) { Fail(where, std::strerror(errno)); }

  // This rank's integers of some blocks, with what others have of them or alone; scaled back where they are its own.
  void Compute(uint32_t first, uint32_t end, bool is_own, const int32_t *others) {
    CarriedSum &sum = plan_.sum;
    const uint64_t before = sum.bounds[first] - sum.bounds[sum.first];
    LoopRun run = sum.run;
    for (int64_t s = 0; s < run.sourceCount; s++) run.sources[s] += before;
    run.room -= std::min(run.room, before);
    run.blocks += first - sum.first, run.count = end - first, run.others = others;
#ifdef RM_HAS_LOOPS
    const bool fits = is_own ? RM_CALL_LOOP(SumAlone, sum.vector, run, sum.bounds, sum.bits, sum.exponents)
                             : RM_CALL_LOOP(Quantise, sum.integers, run, sum.bounds, sum.exponents, sum.places, sum.bits, false);
    if (!fits) Fail(CarrySide::kHere, "a sum reaches beyond its memory");
#else
    Fail(CarrySide::kHere, "this processor has no loops");
#endif
  }

  // The block behind as many whole ones from `block` on, up to `end`, as `bytes` hold.
  uint32_t BlockBehind(uint32_t block, uint32_t end, uint64_t bytes) const {
    const uint32_t *bounds = plan_.sum.bounds;
    uint32_t behind = block;
    while (behind < end && (uint64_t)(bounds[behind + 1] - bounds[block]) * sizeof(float) <= bytes) behind++;
    return behind;
  }

  uint64_t BytesOf(uint32_t first, uint32_t end) const {
    return (uint64_t)(plan_.sum.bounds[end] - plan_.sum.bounds[first]) * sizeof(float);
  }

  // Makes the next part of a message that this rank begins with.
  void MakeBegun(Outgoing &out) {
    const Piece &piece = *out.piece;
    if (piece.kind == PieceKind::kMax || piece.kind == PieceKind::kPlace) {
      out.ready = piece.bytes;
      return;
    }
    if (out.ready == 0) out_block_ = piece.first;
    const uint32_t behind = std::max(out_block_ + 1, BlockBehind(out_block_, piece.end, kStrideBytes));
    Compute(out_block_, behind, false, nullptr);
    out.ready += BytesOf(out_block_, behind);
    out_block_ = behind;
  }

  // Sends what can be sent of the message whose turn it is. Returns whether anything was done.
  bool Send() {
    if (sending_ == sends_.size()) return false;
    Outgoing &out = sends_[sending_];
    if (out.is_begun && out.ready == out_sent_ && out.ready < out.piece->bytes) MakeBegun(out);
    if (!failure.empty() || out.ready == out_sent_) return false;
    if (out_head_.size == 0) {
      const MessageHead head = HeadOf(streams_.out_stream, out.hop, *out.piece);
      if (std::min(streams_.connection_window, streams_.stream_window) < static_cast<int64_t>(head.frame_bytes)) return false;
      streams_.connection_window -= head.frame_bytes, streams_.stream_window -= head.frame_bytes;
      streams_.untaken += head.frame_bytes;
      out_head_ = head, out_head_sent_ = 0;
    }
    const ssize_t sent = streams_.pages.IsOpen() && out.piece->bytes >= kLentBytesMin ? Lend(out) : Copy(out);
    if (sent < 0) {
      if (errno == EINTR) return true;
      out_is_full_ = errno == EAGAIN;
      if (!out_is_full_) FailBySystem(CarrySide::kRight);
      return false;
    }
    const uint32_t of_head = std::min<uint64_t>(sent, out_head_.size - out_head_sent_);
    out_head_sent_ += of_head, out_sent_ += sent - of_head;
    if (out_sent_ == out.piece->bytes) {
      sent_bytes += out_sent_;
      sending_++, out_head_.size = 0, out_sent_ = 0;
    }
    return true;
  }

  // As send(2), of what there is of a message, its head first.
  ssize_t Copy(const Outgoing &out) {
    iovec parts[2] = {{out_head_.data + out_head_sent_, out_head_.size - out_head_sent_},
                      {const_cast<uint8_t *>(out.data) + out_sent_, out.ready - out_sent_}};
    const bool has_head = out_head_sent_ < out_head_.size;
    msghdr message = {};
    message.msg_iov = has_head ? parts : parts + 1;
    message.msg_iovlen = has_head ? 2 : 1;
    return sendmsg(streams_.out, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  }

  // The same, but that only the head is copied.
  ssize_t Lend(const Outgoing &out) {
    if (out_head_sent_ < out_head_.size)
      return send(streams_.out, out_head_.data + out_head_sent_, out_head_.size - out_head_sent_, MSG_NOSIGNAL | MSG_DONTWAIT | MSG_MORE);
    has_lent_ = true;
    const ssize_t sent = streams_.pages.Send(streams_.out, out.data + out_sent_, out.ready - out_sent_);
    // A system that has no such call for sockets: from here on messages are copied.
    if (sent >= 0 || (errno != EINVAL && errno != ENOSYS && errno != EPERM)) return sent;
    streams_.pages.Close();
    return Copy(out);
  }

  void BeginPiece() {
    in_head_read_ = frame_read_ = 0, in_read_ = in_done_ = in_held_ = 0;
    if (receiving_ == plan_.expected.size()) return;
    in_head_ = HeadOf(streams_.in_stream, plan_.expected[receiving_].hop, plan_.expected[receiving_]);
    in_block_ = plan_.expected[receiving_].first;
  }

  // Reads from a socket what there is, `bytes` at most; 0 for nothing.
  uint64_t Read(CarrySide side, uint8_t *into, uint64_t bytes) {
    const ssize_t read = recv(side == CarrySide::kLeft ? streams_.in : streams_.out, into, bytes, MSG_DONTWAIT);
    if (read == 0) Fail(side, "its stream has ended");
    else if (read < 0 && errno != EAGAIN && errno != EINTR) FailBySystem(side);
    return read > 0 ? read : 0;
  }

  // Reads what there is. Returns whether there was anything.
  bool Receive() {
    if (receiving_ == plan_.expected.size()) return false;
    if (in_head_read_ < in_head_.size) return ReceiveHead();
    const Piece &piece = plan_.expected[receiving_];
    const uint64_t left = piece.bytes - in_read_;
    if (piece.kind == PieceKind::kPlace) {
      const uint64_t read = Read(CarrySide::kLeft, piece.place + in_read_, std::min(left, kStrideBytes));
      if (read == 0) return false;
      in_read_ += read;
      Settle(read);
      return true;
    }
    const uint64_t read = Read(CarrySide::kLeft, scratch_.data() + in_held_, std::min(left, scratch_.size() - in_held_));
    if (read == 0) return false;
    in_read_ += read, in_held_ += read;
    if (piece.kind == PieceKind::kMax) KeepLargest(piece);
    else AddHeld(piece);
    return true;
  }

  // A message's head, which has to be that of the piece whose turn it is. Other frames may come before it.
  bool ReceiveHead() {
    if (frame_skip_ > 0) {
      const uint64_t read = Read(CarrySide::kLeft, scratch_.data(), std::min<uint64_t>(frame_skip_, scratch_.size()));
      frame_skip_ -= read;
      return read > 0;
    }
    const bool in_frame = frame_read_ < kFrameHeadBytes;
    uint8_t *into = in_frame ? frame_ + frame_read_ : frame_ + kFrameHeadBytes;
    if (in_frame) {
      const uint64_t read = Read(CarrySide::kLeft, into, kFrameHeadBytes - frame_read_);
      frame_read_ += read;
      if (frame_read_ < kFrameHeadBytes) return read > 0;
      if (frame_[3] == kDataFrame) {
        if (std::memcmp(frame_, in_head_.data, kFrameHeadBytes) != 0) Fail(CarrySide::kLeft, "a message is not the one whose turn it is");
        in_head_read_ = kFrameHeadBytes;
      } else {
        frame_skip_ = ReadBigEndian(frame_, 3), frame_read_ = 0;
        const bool ends = frame_[3] == kResetFrame || frame_[3] == kGoAwayFrame;
        if (ends || frame_skip_ > kControlBytesMax) Fail(CarrySide::kLeft, "its stream has ended");
      }
      return true;
    }
    uint8_t rest[sizeof in_head_.data];
    const uint64_t read = Read(CarrySide::kLeft, rest, in_head_.size - in_head_read_);
    if (std::memcmp(rest, in_head_.data + in_head_read_, read) != 0) Fail(CarrySide::kLeft, "a message is not the one whose turn it is");
    in_head_read_ += read;
    return read > 0;
  }

  // Adds this rank's integers to the whole blocks that have arrived.
  void AddHeld(const Piece &piece) {
    const uint32_t behind = BlockBehind(in_block_, piece.end, in_held_);
    if (behind == in_block_) return;
    const uint64_t bytes = BytesOf(in_block_, behind);
    Compute(in_block_, behind, piece.kind == PieceKind::kOwn, reinterpret_cast<const int32_t *>(scratch_.data()));
    in_block_ = behind, in_held_ -= bytes;
    std::memmove(scratch_.data(), scratch_.data() + bytes, in_held_);
    Settle(bytes);
  }

  void KeepLargest(const Piece &piece) {
    uint8_t *to = piece.place + in_done_;
    for (uint64_t i = 0; i < in_held_; i++) to[i] = std::max(to[i], scratch_[i]);
    const uint64_t bytes = in_held_;
    in_held_ = 0;
    Settle(bytes);
  }

  // So many bytes more of the piece under way are what this rank makes of them.
  void Settle(uint64_t bytes) {
    in_done_ += bytes;
    if (passed_on_[receiving_] >= 0) sends_[passed_on_[receiving_]].ready = in_done_;
    if (in_done_ < plan_.expected[receiving_].bytes) return;
    received_bytes += in_done_;
    streams_.taken += in_head_.frame_bytes;
    Grant();
    const size_t settled = receiving_++;
    if (EndsHop(settled)) {
      hops.push_back(std::chrono::duration<double, std::milli>(Clock::now() - began_).count());
      if (plan_.expected[settled].hop + 1 == plan_.half) Made();
    }
    BeginPiece();
  }

  // This rank has made all that is its own: what it tells of that can go (`clearSquares` of cut-shares.ts).
  void Made() {
    if (plan_.has_sum) {
      const SumVector &vector = plan_.sum.vector;
      for (uint32_t b = plan_.sum.own_first; b < plan_.sum.own_end; b++)
        if (vector.filled[b] != 1) vector.squares[b] = 0;
    }
    for (size_t i = 0; i < plan_.told.size(); i++) sends_[told_from_ + i].ready = plan_.told[i].bytes;
  }

  // The left neighbour hears how much has been taken, once that is worth a frame or there is no more to come.
  void Grant() {
    const bool is_last = receiving_ + 1 >= plan_.expected.size() && has_borrowed_;
    if ((streams_.taken < streams_.grant_bytes && !is_last) || streams_.taken == 0 || streams_.grant_sent < streams_.grant_size) return;
    ByteWriter writer = {streams_.grant};
    for (const uint32_t stream : {0u, streams_.in_stream}) {
      writer.FrameHead(4, kWindowFrame, stream);
      writer.BigEndian(static_cast<uint32_t>(streams_.taken), 4);
    }
    streams_.taken = 0, streams_.grant_sent = 0, streams_.grant_size = sizeof streams_.grant;
    SendGrant();
  }

  void SendGrant() {
    const ssize_t sent = send(streams_.in, streams_.grant + streams_.grant_sent, streams_.grant_size - streams_.grant_sent, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0) streams_.grant_sent += sent;
    else if (sent < 0 && errno != EAGAIN && errno != EINTR) FailBySystem(CarrySide::kLeft);
    // What had to wait for it.
    if (sent > 0) Grant();
  }

  // What the right neighbour says: how much more it takes. The rest is of no use here.
  void ReadControl() {
    if (streams_.control_skip > 0) {
      streams_.control_skip -= Read(CarrySide::kRight, scratch_.data() + in_held_, std::min<uint64_t>(streams_.control_skip, scratch_.size() - in_held_));
      return;
    }
    const uint32_t wanted = streams_.control_read < kFrameHeadBytes ? kFrameHeadBytes : sizeof streams_.control;
    streams_.control_read += Read(CarrySide::kRight, streams_.control + streams_.control_read, wanted - streams_.control_read);
    if (streams_.control_read < kFrameHeadBytes) return;
    const uint32_t length = ReadBigEndian(streams_.control, 3);
    if (streams_.control[3] != kWindowFrame || length != 4) {
      streams_.control_skip = length, streams_.control_read = 0;
      if (streams_.control[3] == kResetFrame || streams_.control[3] == kGoAwayFrame || length > kControlBytesMax)
        Fail(CarrySide::kRight, "its stream has ended");
      return;
    }
    if (streams_.control_read < sizeof streams_.control) return;
    streams_.control_read = 0;
    const uint32_t bytes = ReadBigEndian(streams_.control + kFrameHeadBytes, 4) & 0x7fffffff;
    if (ReadBigEndian(streams_.control + 5, 4) == 0) {
      streams_.connection_window += bytes;
      return;
    }
    streams_.stream_window += bytes;
    streams_.untaken -= std::min<uint64_t>(streams_.untaken, bytes);
  }

  // Sleeps until there is something to do.
  void Wait() {
    const bool grants = streams_.grant_sent < streams_.grant_size;
    const auto events = [](bool reads, bool writes) { return static_cast<short>((reads ? POLLIN : 0) | (writes ? POLLOUT : 0)); };
    pollfd polled[3] = {{streams_.in, events(receiving_ < plan_.expected.size(), grants), 0},
                        {sending_ < sends_.size() || HasLent() ? streams_.out : -1, events(true, out_is_full_), 0},
                        {streams_.stop, POLLIN, 0}};
    if (polled[0].events == 0) polled[0].fd = -1;
    if (poll(polled, 3, -1) < 0) {
      if (errno != EINTR) FailBySystem(CarrySide::kHere);
      return;
    }
    out_is_full_ = false;
    if (polled[2].revents != 0) was_stopped = true;
    if (grants && (polled[0].revents & POLLOUT) != 0) SendGrant();
    if ((polled[1].revents & (POLLIN | POLLHUP | POLLERR)) != 0) ReadControl();
  }
};

}  // namespace ringmaster
#endif
