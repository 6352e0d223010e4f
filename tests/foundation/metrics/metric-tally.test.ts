import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { argmax, createMetricTally } from "../../../foundation/metrics/metric-tally.ts";

function near(actual: number | undefined, expected: number): void {
  assert.ok(
    actual !== undefined && Math.abs(actual - expected) < 1e-12,
    `expected ${expected}, found ${actual}`,
  );
}

/** One row of logits that predicts `label` out of `count`. */
function predicting(label: number, count: number): number[] {
  return Array.from({ length: count }, (_, index) => (index === label ? 1 : -1));
}

function tallied(labelCount: number, pairs: readonly (readonly [truth: number, said: number])[]) {
  const tally = createMetricTally("single_label_classification", labelCount);
  for (const [label, said] of pairs) tally.add({ logits: predicting(said, labelCount), label });
  return tally;
}

describe("metrics", () => {
  it("gives accuracy, the F1 of class 1 and Matthews' correlation for two labels", () => {
    // truth 1: 3 right, 1 wrong; truth 0: 2 right, 2 wrong. TP 3, FP 2, FN 1, TN 2.
    const tally = tallied(2, [
      [1, 1],
      [1, 1],
      [1, 1],
      [1, 0],
      [0, 0],
      [0, 0],
      [0, 1],
      [0, 1],
    ]);
    const metrics = tally.metrics();
    assert.equal(tally.samples, 8);
    near(metrics["accuracy"], 5 / 8);
    near(metrics["f1"], (2 * 3) / (2 * 3 + 2 + 1));
    near(metrics["matthews_correlation"], (3 * 2 - 2 * 1) / Math.sqrt(5 * 4 * 4 * 3));
  });

  it("gives the macro F1 beyond two labels, over the classes that occur", () => {
    // Class 0: TP 2, FP 1, FN 0 -> 0.8. Class 1: TP 1, FP 0, FN 1 -> 2/3. Class 2: TP 1, FP 0, FN 0 -> 1. Class 3 absent.
    const metrics = tallied(4, [
      [0, 0],
      [0, 0],
      [1, 1],
      [1, 0],
      [2, 2],
    ]).metrics();
    near(metrics["f1"], (0.8 + 2 / 3 + 1) / 3);
    near(metrics["accuracy"], 4 / 5);
    // Right 4 of 5; truths 2 2 1, predictions 3 1 1: (4·5 − (3·2+1·2+1·1)) / √((25−11)(25−9))
    near(metrics["matthews_correlation"], (20 - 9) / Math.sqrt(14 * 16));
  });

  it("says 0 where a metric is undefined", () => {
    assert.deepEqual(
      tallied(2, [
        [0, 0],
        [0, 0],
      ]).metrics(),
      {
        accuracy: 1,
        f1: 0,
        matthews_correlation: 0,
      },
    );
    assert.deepEqual(createMetricTally("regression", 1).metrics(), {
      mse: 0,
      pearson: 0,
      spearmanr: 0,
    });
  });

  it("gives mean squared error and both correlations for a regression", () => {
    const tally = createMetricTally("regression", 1);
    const rows = [
      [1, 1],
      [2, 4],
      [3, 9],
      [4, 16],
      [4, 15],
    ] as const;
    for (const [said, target] of rows) tally.add({ logits: [said], target });
    const metrics = tally.metrics();
    near(metrics["mse"], (0 + 4 + 36 + 144 + 121) / 5);
    // Deviations of x from 2.8: −1.8 −0.8 .2 1.2 1.2; of y from 9: −8 −5 0 7 6.
    near(metrics["pearson"], (14.4 + 4 + 0 + 8.4 + 7.2) / Math.sqrt(6.8 * 174));
    // Ranks 1 2 3 4.5 4.5 and 1 2 3 5 4: deviations −2 −1 0 1.5 1.5 and −2 −1 0 2 1.
    near(metrics["spearmanr"], (4 + 1 + 3 + 1.5) / Math.sqrt(9.5 * 10));
  });

  it("counts whole samples and single decisions of a multi-label problem", () => {
    const tally = createMetricTally("multi_label_classification", 2);
    tally.add({ logits: [1, -1], targets: [1, 0] });
    tally.add({ logits: [1, 1], targets: [0, 1] });
    tally.add({ logits: [-1, -1], targets: [1, 1] });
    const metrics = tally.metrics();
    near(metrics["accuracy"], 1 / 3);
    // Label 0: right 1, said 2, true 2 -> 0.5. Label 1: right 1, said 1, true 2 -> 2/3. Together: 2·2/(3+4).
    near(metrics["f1"], 4 / 7);
    near(metrics["f1_macro"], (0.5 + 2 / 3) / 2);
  });

  it("leaves out rows without a label, and takes the first of equal logits", () => {
    const tally = tallied(2, [[1, 1]]);
    tally.add({ logits: [0, 1] });
    assert.equal(tally.samples, 1);
    assert.equal(argmax([0, 3, 3]), 1);
  });
});
