/** Goal: what a bench prints as a ratio is the ratio of both sides' medians. Method: rounds whose ratios have another median. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { median, ratioOfMedians } from "./support/statistics.ts";

describe("a ratio of two sides", () => {
  const peer = [30, 60, 90];
  const ours = [10, 30, 20];

  it("is that of their medians, not the median of the rounds' ratios", () => {
    assert.equal(median(peer.map((ms, round) => ms / ours[round]!)), 3);
    const { median: ratio, ...rest } = ratioOfMedians([30, 80, 90], ours);
    assert.equal(ratio, 4);
    assert.equal(median([30 / 10, 80 / 30, 90 / 20]), 3);
    assert.deepEqual(rest, { min: 80 / 30, max: 4.5 });
  });

  it("lies between the least and the most of the rounds' ratios", () => {
    const { median: ratio, min, max } = ratioOfMedians(peer, ours);
    assert.deepEqual({ ratio, min, max }, { ratio: 3, min: 2, max: 4.5 });
  });

  it("is refused where the sides have other rounds", () => {
    assert.throws(() => ratioOfMedians(peer, ours.slice(1)), /3 rounds with 2/u);
  });
});
