import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { predictionLine, predictionOf, softmax } from "../../../coordinator/commands/prediction.ts";

const labels = ["bad", "good"];

describe("predictionOf", () => {
  it("gives the likeliest label with its probability", () => {
    const prediction = predictionOf(Float32Array.of(1, 3), {
      problemType: "single_label_classification",
      labels,
    });
    assert.equal(prediction.label, "good");
    assert.ok(Math.abs(Number(prediction.score) - 1 / (1 + Math.exp(-2))) < 1e-7);
    assert.deepEqual(prediction.logits, [1, 3]);
  });

  it("gives every label that is likelier than not, of several", () => {
    const meaning = { problemType: "multi_label_classification", labels: ["a", "b", "c"] } as const;
    const prediction = predictionOf([0.5, -2, 4], meaning);
    assert.deepEqual(prediction.label, ["a", "c"]);
    assert.deepEqual(predictionOf([-1, -1, -1], meaning).label, []);
  });

  it("gives the value itself for a regression", () => {
    const meaning = { problemType: "regression", labels: ["LABEL_0"] } as const;
    assert.deepEqual(predictionOf(Float32Array.of(3.25), meaning), {
      label: "LABEL_0",
      score: 3.25,
      logits: [3.25],
    });
  });

  it("writes float32 numbers without the digits of doubles", () => {
    const meaning = { problemType: "regression", labels: ["x"] } as const;
    assert.equal(JSON.stringify(predictionOf(Float32Array.of(0.1), meaning).logits), "[0.1]");
  });
});

describe("softmax", () => {
  it("is safe for large logits", () => {
    assert.deepEqual(softmax([1000, 1000]), [0.5, 0.5]);
    assert.deepEqual(softmax([0, -2000]), [1, 0]);
  });
});

describe("predictionLine", () => {
  it("shows label, score and the beginnings of the texts", () => {
    const prediction = { label: "good", score: 0.98765, logits: [0, 1] };
    const texts = { text: `a\n${"very ".repeat(30)}`, textPair: "b" };
    const line = predictionLine(prediction, texts, 6);
    assert.match(line, /^good {4}0\.9877 {2}a very very .*… \| b$/);
    assert.ok(line.length < 90);
  });
});
