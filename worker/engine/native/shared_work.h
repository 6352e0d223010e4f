#pragma once
// Items that several threads compute together: each takes parts, from the front or from the back, until none is left.
#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace ringmaster {

inline void pauseBriefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

class SharedWork {
 public:
  // What is done with items first … end. Called only while somebody waits.
  struct Body {
    void (*run)(const void* state, int64_t first, int64_t end);
    const void* state;
  };

  // @param count below 2³²
  // @param least items that are taken at a time while there are as many
  SharedWork(Body body, int64_t count, int64_t threads, int64_t least) : body_(body), count_(count), threads_(threads), least_(least) {
    left_.store(both(0, count));
  }
  SharedWork(const SharedWork&) = delete;

  // Works until nothing is left to be taken.
  void help(bool fromBack) {
    uint64_t left = left_.load();
    for (;;) {
      const int64_t front = left >> 32, back = left & 0xffffffff, items = back - front;
      if (items == 0) return;
      // Large parts first, and small ones last, so that all end together.
      const int64_t part = std::min(items, std::max(least_, items / (2 * threads_)));
      if (!left_.compare_exchange_weak(left, fromBack ? both(front, back - part) : both(front + part, back))) continue;
      const int64_t first = fromBack ? back - part : front;
      body_.run(body_.state, first, first + part);
      if (done_.fetch_add(part) + part == count_) {
        const std::lock_guard<std::mutex> lock(mutex_);
        ended_.notify_one();
      }
      left = left_.load();
    }
  }

  // Until all is done. Others mostly end within microseconds, which is less than it takes to be woken.
  void wait() {
    for (int i = 0; i < kSpins; i++) {
      if (done_.load() == count_) return;
      pauseBriefly();
    }
    std::unique_lock<std::mutex> lock(mutex_);
    ended_.wait(lock, [this] { return done_.load() == count_; });
  }

 private:
  static constexpr int kSpins = 1000;

  static uint64_t both(int64_t front, int64_t back) { return (uint64_t)front << 32 | (uint64_t)back; }

  const Body body_;
  const int64_t count_, threads_, least_;
  // Items that nobody has taken: the first in the upper half, the one behind the last in the lower.
  std::atomic<uint64_t> left_;
  std::atomic<int64_t> done_{0};
  std::mutex mutex_;
  std::condition_variable ended_;
};

}  // namespace ringmaster
