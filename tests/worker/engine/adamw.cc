// Runs AdamW, which passes over what has no gradient and no moments, beside the loop that passes over nothing, with every
// instruction set of this processor, and prints a line of JSON for each: on how many words their results differ.
#include "instruction_sets.h"
#include <cstdio>
#ifdef RM_SETS
#include <xmmintrin.h>
#endif

using namespace ringmaster;

// What a chunk begins as; a step makes each the next kind's gradient.
enum Kind { nothing, minusZero, lastIsNan, firstMoment, secondMoment, minusMoment, denormal, oddWeights, dense, minusSecond, kinds };

constexpr int64_t kChunks = 4 * kinds, kSize = kChunks * kAdamChunk + 77;

struct State {
  std::vector<float> weights, first, second, gradient;
  std::vector<uint8_t> firstMarks, secondMarks;

  State() : weights(kSize), first(kSize), second(kSize), gradient(kSize) {
    uint32_t random = 12345;
    for (int64_t i = 0; i < kSize; i++) {
      random = random * 1664525u + 1013904223u;
      weights[i] = (random >> 8) / 8388608.f - 1;
      const int64_t at = i % kAdamChunk, kind = i / kAdamChunk % kinds;
      if (kind == firstMoment && at == 70) first[i] = 1e-30f;
      if (kind == secondMoment && at == 3) second[i] = 1e-30f;
      if (kind == minusMoment && at == 101) first[i] = -0.f;
      if (kind == minusSecond && at == 127) second[i] = -0.f;
      if (kind == dense) first[i] = weights[i] / 3, second[i] = weights[i] * weights[i];
      const float odd[] = {1e-40f, -1e-40f, -0.f, 0.f, NAN, -INFINITY, 1.17549435e-38f, 1e-45f};
      if (kind == oddWeights) weights[i] = odd[at % 8];
    }
    firstMarks = marksOf(first), secondMarks = marksOf(second);
  }

  static std::vector<uint8_t> marksOf(const std::vector<float>& values) {
    std::vector<uint8_t> marks(kChunks + 1);
    for (int64_t i = 0; i < kSize; i++)
      if (word(values[i]) != 0) marks[i / kAdamChunk] = 1;
    return marks;
  }
  static uint32_t word(float x) { uint32_t w; std::memcpy(&w, &x, sizeof w); return w; }

  void setGradient(int step) {
    for (int64_t i = 0; i < kSize; i++) {
      const int64_t at = i % kAdamChunk, chunk = i / kAdamChunk, kind = (chunk + (chunk / kinds < 2 ? 0 : step)) % kinds;
      gradient[i] = kind == minusZero || kind == oddWeights && at % 3 == 0 ? -0.f : 0.f;
      if (kind == lastIsNan && at == kAdamChunk - 1) gradient[i] = NAN;
      if (kind == denormal && at == 64) gradient[i] = step % 2 == 0 ? 1e-40f : 0.5f;
      if (kind == dense) gradient[i] = weights[i] * 0.1f;
    }
  }

  int64_t differences(const State& other) const {
    int64_t count = 0;
    for (const auto part : {&State::weights, &State::first, &State::second, &State::gradient})
      for (int64_t i = 0; i < kSize; i++) count += word((this->*part)[i]) != word((other.*part)[i]);
    return count;
  }
};

struct Form {
  float rate, epsilon, scale, kept;
  // New weights take the gradient's place, as where moments are shared out.
  bool elsewhere, marked;
};

typedef void Update(const AdamRange&, int64_t, int64_t);

// On how many words new weights are not what is kept of the old ones, rounded, less the step: compilers may round once only.
static int64_t misroundedOf(const std::vector<float>& before, const State& state, const AdamRange& job) {
  int64_t count = 0;
  for (int64_t i = 0; i < kSize; i++) {
    volatile float kept = before[i] * job.kept;
    const float wanted = kept - state.first[i] * job.rate / (std::sqrt(state.second[i]) + job.epsilon);
    count += State::word(wanted) != State::word(job.out[i]) && !(std::isnan(wanted) && std::isnan(job.out[i]));
  }
  return count;
}

static int64_t differencesOf(const Form& form, Update* passing, Update* whole) {
  State one, other;
  int64_t count = 0;
  for (int step = 0; step < 4; step++) {
    for (State* state : {&one, &other}) {
      state->setGradient(step);
      float* out = form.elsewhere ? state->gradient.data() : state->weights.data();
      // Without decay in some steps, as while the learning rate is 0.
      AdamRange job = {state->weights.data(), out, state->first.data(), state->second.data(), state->gradient.data(),
                       form.rate, form.epsilon, form.scale, step == 1 ? 1 : form.kept, 0.9f, 0.999f, step > 0};
      if (form.marked) job.firstMarks = state->firstMarks.data(), job.secondMarks = state->secondMarks.data();
      const int64_t middle = 17 * kAdamChunk;
      const auto before = state->weights;
      (state == &one ? passing : whole)(job, 0, middle);
      (state == &one ? passing : whole)(job, middle, kSize);
      count += misroundedOf(before, *state, job);
      if (form.elsewhere) state->weights = state->gradient;
    }
    count += one.differences(other);
  }
  // A mark must be where anything is.
  const auto firstMarks = State::marksOf(one.first), secondMarks = State::marksOf(one.second);
  if (form.marked)
    for (int64_t k = 0; k <= kChunks; k++)
      count += firstMarks[k] > one.firstMarks[k] || secondMarks[k] > one.secondMarks[k];
  // Some chunk was passed over, or nothing is shown.
  const bool passes = form.epsilon > 1e-38f && !std::signbit(form.rate) && std::isfinite(form.scale);
  return count + (form.marked && passes && one.firstMarks[nothing] != 0);
}

static void compare(const char* set, Update* passing, Update* whole) {
  int64_t count = 0;
  for (const bool flush : {false, true}) {
#ifdef RM_SETS
    // Denormal numbers count as 0, and become it, in TensorFlow's threads.
    _mm_setcsr(flush ? _mm_getcsr() | 0x8040 : _mm_getcsr() & ~0x8040u);
#endif
    for (const float rate : {1e-3f, 0.f, -0.f, -1e-3f})
      for (const float epsilon : {1e-8f, 0.f, 1e-40f})
        for (const float scale : {0.7f, INFINITY, NAN})
          for (const float kept : {1.f, 0.99f})
            for (const bool elsewhere : {false, true})
              for (const bool marked : {false, true})
                count += differencesOf({rate, epsilon, scale, kept, elsewhere, marked}, passing, whole);
#ifdef RM_SETS
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
#endif
  }
  std::printf("{\"set\":\"%s\",\"differences\":%lld}\n", set, static_cast<long long>(count));
}

int main() {
  compare("plain", plain::adamRange, plain::adamElements);
#ifdef RM_SETS
  if (instructionSet() != InstructionSet::plain) compare("avx2", avx2::adamRange, avx2::adamElements);
  if (instructionSet() == InstructionSet::avx512) compare("avx512", avx512::adamRange, avx512::adamElements);
#endif
  return 0;
}
