// Sends memory by reference: the kernel is lent its pages instead of copying them, by a pipe that holds nothing else (vmsplice(2), splice(2)).
// The memory has to stay as it is until the other end has read it. It pays where nothing paces what is sent: a paced socket takes little at
// a time, and asks for a timer each time (docs/benchmarks.md, 2026-11-30).
#pragma once
#ifdef __linux__
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>

namespace ringmaster {

class PagePipe {
  // What any user may ask for. Source: pipe(7), pipe-max-size.
  static constexpr int kPipeBytes = 1024 * 1024;
  int in_ = -1, out_ = -1;
  size_t held_ = 0;

 public:
  // Stays closed where this system lends no pages.
  void Open() {
    int ends[2];
    if (pipe2(ends, O_NONBLOCK | O_CLOEXEC) != 0) return;
    out_ = ends[0], in_ = ends[1];
    // Who has many pipes already does with a smaller one.
    static_cast<void>(fcntl(in_, F_SETPIPE_SZ, kPipeBytes));
    char tried = 0;
    const iovec part = {&tried, 1};
    if (vmsplice(in_, &part, 1, SPLICE_F_NONBLOCK) != 1 || read(out_, &tried, 1) != 1) Close();
  }
  bool IsOpen() const { return in_ >= 0; }
  void Close() {
    for (int *end : {&in_, &out_}) {
      if (*end >= 0) close(*end);
      *end = -1;
    }
    held_ = 0;
  }

  // Sends of `bytes` from `data` on what the socket takes now; as send(2), and raises SIGPIPE. The next call goes on from there.
  ssize_t Send(int socket, const uint8_t *data, size_t bytes) {
    if (held_ == 0) {
      const iovec part = {const_cast<uint8_t *>(data), bytes};
      const ssize_t lent = vmsplice(in_, &part, 1, SPLICE_F_NONBLOCK);
      if (lent < 0) return lent;
      held_ = lent;
    }
    const ssize_t sent = splice(out_, nullptr, socket, nullptr, held_, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (sent > 0) held_ -= sent;
    return sent;
  }
};

// Whether both ends of a connection are on this host.
inline bool StaysOnHost(int socket) {
  sockaddr_storage ends[2] = {};
  socklen_t sizes[2] = {sizeof ends[0], sizeof ends[1]};
  if (getsockname(socket, reinterpret_cast<sockaddr *>(&ends[0]), &sizes[0]) != 0) return false;
  if (getpeername(socket, reinterpret_cast<sockaddr *>(&ends[1]), &sizes[1]) != 0 || ends[0].ss_family != ends[1].ss_family) return false;
  if (ends[0].ss_family == AF_INET) {
    const auto address = [&](int i) { return reinterpret_cast<const sockaddr_in *>(&ends[i])->sin_addr.s_addr; };
    return address(0) == address(1);
  }
  if (ends[0].ss_family != AF_INET6) return false;
  const auto address = [&](int i) { return &reinterpret_cast<const sockaddr_in6 *>(&ends[i])->sin6_addr; };
  return std::memcmp(address(0), address(1), sizeof(in6_addr)) == 0;
}

// Whether a connection's congestion control paces what is sent.
inline bool IsPaced(int socket) {
  char name[32] = {};
  socklen_t size = sizeof name - 1;
  return getsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, name, &size) != 0 || std::strncmp(name, "bbr", 3) == 0;
}

// Has a connection that stays on this host send as fast as it is read: there is no network to be fair to, and pacing costs a timer for
// every few pages.
inline void LeaveUnpaced(int socket) {
  constexpr char kReno[] = "reno";
  if (StaysOnHost(socket) && IsPaced(socket)) setsockopt(socket, IPPROTO_TCP, TCP_CONGESTION, kReno, sizeof kReno - 1);
}

}  // namespace ringmaster
#endif
