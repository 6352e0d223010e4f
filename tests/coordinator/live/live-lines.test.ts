import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cutText, shareText } from "../../../coordinator/live/format.ts";
import { liveLines } from "../../../coordinator/live/live-view.ts";
import type { StepView } from "../../../coordinator/live/run-view.ts";

const step: StepView = {
  step: 40,
  totalSteps: 96,
  epoch: 1.25,
  epochs: 3,
  loss: 0.4312,
  learningRate: 3.1e-5,
  gradNorm: 1,
  samplesPerSecond: 61.2,
  etaMs: 12_000,
  lengths: { truncated: 0, padding: 0.104 },
};

describe("the live view's lines", () => {
  it("say how much of what is computed is padding", () => {
    const lines = liveLines({ doing: "", step, workers: [] });
    assert.match(lines[1] ?? "", /61\.2 samples\/s · 12 s left · padding 10 %$/);
  });

  it("say what is cut, when anything is", () => {
    const cut = { ...step, lengths: { truncated: 0.031, padding: 0.5 } };
    const lines = liveLines({ doing: "", step: cut, workers: [] });
    assert.match(lines[1] ?? "", /padding 50 % · cut 3 %$/);
  });
});

describe("shares", () => {
  it("are whole percents, but for what is rare", () => {
    const texts = [0, 0.0004, 0.003, 0.0149, 0.5, 1].map(shareText);
    assert.deepEqual(texts, ["0 %", "under 0.1 %", "0.3 %", "1 %", "50 %", "100 %"]);
  });

  it("are said of samples that were cut, or not at all", () => {
    assert.equal(cutText({ truncated: 0 }, 128), null);
    assert.equal(
      cutText({ truncated: 0.25 }, 128),
      "25 % of the samples were cut at 128 tokens (--max-length)",
    );
  });
});
