/**
 * Goal: traces that Perfetto opens, and a summary whose parts add up. Method: steps made by hand, whose answer is plain;
 * random spans for what must hold of any.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { bothOf, lengthOf, unionOf } from "../../../coordinator/profile/intervals.ts";
import { partsOf, summarizeWorker } from "../../../coordinator/profile/profile-summary.ts";
import { profileText } from "../../../coordinator/profile/profile-text.ts";
import {
  unpackProfile,
  type ProfiledStep,
  type ProfileSpan,
} from "../../../coordinator/profile/profiled-step.ts";
import { lanesOf, traceEvents } from "../../../coordinator/profile/trace-events.ts";
import { profiledSteps } from "../../../foundation/job/profile-steps.ts";
import { StepProfiledSchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { encodeProfile } from "../../../worker/profile/encode-profile.ts";
import { checkTrace } from "../../support/check-trace.ts";

const ms = 1e6;

function span(given: Partial<ProfileSpan> & Pick<ProfileSpan, "track" | "name">): ProfileSpan {
  return { detail: "", shape: "", startNs: 0, endNs: 0, flops: 0, bytes: 0, ...given };
}

function at(
  track: ProfileSpan["track"],
  name: string,
  [start, end]: readonly [number, number],
  more: Partial<ProfileSpan> = {},
): ProfileSpan {
  return span({ track, name, startNs: start * ms, endNs: end * ms, ...more });
}

function stepOf(spans: readonly ProfileSpan[], given: Partial<ProfiledStep> = {}): ProfiledStep {
  return {
    rank: 1,
    workerId: "worker-1",
    step: 10,
    startedMs: 1_795_549_270_000,
    tookNs: 100 * ms,
    spans,
    tokens: 75,
    paddedTokens: 100,
    peakFlops: 200e9,
    leftOut: 0,
    ...given,
  };
}

const example = stepOf([
  at("input", "collate", [-30, -20]),
  at("main", "data", [0, 5]),
  at("main", "compute", [5, 60]),
  at("engine", "loss", [6, 59]),
  at("ops", "MatMul", [10, 40], { flops: 3e9 }),
  at("ops", "Add", [20, 50]),
  at("main", "exchange", [60, 80]),
  at("main", "sum integers", [62, 75]),
  at("engine", "norm", [70, 74]),
  at("main", "wait for commit", [82, 92]),
  at("engine", "update", [93, 99]),
]);

describe("intervals", () => {
  it("union and intersection measure what moments say", () => {
    const interval = fc.tuple(fc.nat(60), fc.nat(20)).map(([start, size]) => ({
      start,
      end: start + size,
    }));
    fc.assert(
      fc.property(fc.array(interval), fc.array(interval), (left, right) => {
        const covers = (all: typeof left, moment: number): boolean =>
          all.some(({ start, end }) => start <= moment && moment < end);
        const moments = Array.from({ length: 81 }, (_, moment) => moment);
        const union = unionOf(left);
        assert.equal(lengthOf(union), moments.filter((moment) => covers(left, moment)).length);
        assert.equal(
          lengthOf(bothOf(union, unionOf(right))),
          moments.filter((moment) => covers(left, moment) && covers(right, moment)).length,
        );
      }),
    );
  });
});

describe("a profile's summary", () => {
  it("counts each moment of a step once", () => {
    const parts = partsOf(example);
    assert.deepEqual(parts, {
      stepMs: 100,
      computeMs: 53 + 4 + 6,
      exchangeMs: 16,
      inputMs: 5,
      commitMs: 10,
      otherMs: 100 - 63 - 16 - 5 - 10,
      hiddenExchangeMs: 4,
    });
  });

  it("tells ops by kind, products' rates, idle time and padding", () => {
    const summary = summarizeWorker([example, stepOf(example.spans, { step: 11 })]);
    assert.deepEqual(summary.steps, [10, 11]);
    assert.deepEqual(
      summary.ops.map(({ op, count, ms: time, share }) => [op, count, time, share]),
      [
        ["MatMul", 1, 30, 0.5],
        ["Add", 1, 30, 0.5],
      ],
    );
    assert.equal(summary.products.gflop, 3);
    assert.equal(summary.products.gflops, 100);
    assert.equal(summary.products.peakGflops, 200);
    assert.equal(summary.padding, 0.25);
    assert.ok(Math.abs(summary.betweenOps - (1 - 40 / 63)) < 1e-9);
    const text = profileText([summary]);
    assert.match(
      text,
      /step 100\.0 ms = compute 63\.0 ms \+ exchange 16\.0 ms \(of 20\.0 ms, 20 % hidden behind compute\)/u,
    );
    assert.match(text, /50 % of the peak/u);
    assert.match(text, /padding: 25 %/u);
  });

  it("is made where no ops were noted", () => {
    const summary = summarizeWorker([stepOf([], { paddedTokens: 0, tokens: 0, peakFlops: 0 })]);
    assert.equal(summary.mean.otherMs, 100);
    assert.match(profileText([summary]), /no ops were noted/u);
  });
});

describe("trace events", () => {
  it("are well-formed, nested, in order and in lanes, whatever was noted", () => {
    checkTrace({ displayTimeUnit: "ms", traceEvents: traceEvents([example], example.startedMs) });
    const ops = fc.array(fc.tuple(fc.nat(90), fc.integer({ min: 1, max: 9 })), { minLength: 1 });
    fc.assert(
      fc.property(ops, (times) => {
        const spans = times.map(([start, size]) => at("ops", "Op", [start, start + size]));
        const sorted = spans.toSorted((left, right) => left.startNs - right.startNs);
        const lanes = lanesOf(sorted);
        const busiest = Math.max(
          ...sorted.map(
            ({ startNs }) =>
              sorted.filter((other) => other.startNs <= startNs && startNs < other.endNs).length,
          ),
        );
        assert.equal(Math.max(...lanes) + 1, busiest);
        checkTrace({
          displayTimeUnit: "ms",
          traceEvents: traceEvents([stepOf(spans)], example.startedMs),
        });
      }),
    );
  });
});

describe("a step's report", () => {
  const facts = {
    step: 10,
    originMs: 1_795_549_270_000.25,
    tookMs: 1.5,
    tokens: 3,
    paddedTokens: 4,
    peakFlops: 1e11,
    leftOut: 2,
  };

  it("comes out as it went in", () => {
    const report = encodeProfile(
      [
        {
          track: "input",
          name: "collate",
          detail: "microbatch 3",
          shape: "[2,3]",
          startMs: facts.originMs - 2,
          endMs: facts.originMs - 1,
          flops: 12,
          bytes: 24,
        },
      ],
      facts,
    );
    assert.deepEqual(unpackProfile(report, { rank: 0, workerId: "worker-0" }), {
      rank: 0,
      workerId: "worker-0",
      step: 10,
      startedMs: facts.originMs,
      tookNs: 1_500_000,
      spans: [
        {
          track: "input",
          name: "collate",
          detail: "microbatch 3",
          shape: "[2,3]",
          startNs: -2_000_000,
          endNs: -1_000_000,
          flops: 12,
          bytes: 24,
        },
      ],
      tokens: 3,
      paddedTokens: 4,
      peakFlops: 1e11,
      leftOut: 2,
    });
  });

  it("is refused where it lacks a word or names an unknown track", () => {
    const worker = { rank: 0, workerId: "worker-0" };
    const wrong = (words: string[]) =>
      create(StepProfiledSchema, { step: 1n, words, spans: [{ track: 1 }] });
    assert.throws(() => unpackProfile(wrong([""]), worker), RangeError);
    assert.throws(() => unpackProfile(wrong(["", "elsewhere"]), worker), /track|Invalid/u);
  });
});

describe("the profiled steps", () => {
  const chosen = (profile: boolean, profileSteps: string | null, first: number, total: number) =>
    profiledSteps({ profile, profileSteps }, first, total);

  it("are those asked for, else three after the first nine of this start, else the last ones", () => {
    assert.equal(chosen(false, null, 1, 100), null);
    assert.deepEqual(chosen(true, null, 1, 100), { first: 10, last: 12 });
    assert.deepEqual(chosen(true, null, 51, 100), { first: 60, last: 62 });
    assert.deepEqual(chosen(true, null, 1, 5), { first: 3, last: 5 });
    assert.deepEqual(chosen(true, null, 1, 2), { first: 2, last: 2 });
    assert.deepEqual(chosen(true, null, 1, 1), { first: 1, last: 1 });
    assert.equal(chosen(true, null, 6, 5), null);
    assert.deepEqual(chosen(false, "4-6", 1, 100), { first: 4, last: 6 });
    assert.deepEqual(chosen(true, "4", 1, 100), { first: 4, last: 4 });
  });
});
