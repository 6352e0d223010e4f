/**
 * Metrics of an evaluation, tallied row by row as logits arrive, in any order. Names are those of Hugging Face's GLUE
 * metrics, without the `eval_` that the log history puts before them.
 */
import type { ProblemType } from "../families/family.ts";
import { accuracy, binaryF1, macroF1, matthewsCorrelation, ratio } from "./classification.ts";
import { meanSquaredError, pearsonCorrelation, spearmanCorrelation } from "./correlation.ts";

/** One evaluated sample. */
export interface EvaluatedRow {
  readonly logits: ArrayLike<number>;
  readonly label?: number;
  readonly target?: number;
  readonly targets?: readonly number[];
}

/** Collects rows. */
export interface MetricTally {
  /** Adds a sample; one without label or target is left out. */
  add(row: EvaluatedRow): void;
  /** The metrics of the rows so far, by name. */
  metrics(): Readonly<Record<string, number>>;
  /** Samples counted. */
  readonly samples: number;
}

/** Index of the largest value, the first of equal ones. */
export function argmax(values: ArrayLike<number>): number {
  let best = 0;
  for (let index = 1; index < values.length; index += 1) {
    if ((values[index] ?? 0) > (values[best] ?? 0)) best = index;
  }
  return best;
}

function zeros(count: number): number[] {
  return Array.from({ length: count }, () => 0);
}

/** `accuracy`, `f1` (binary for two labels, macro beyond), `matthews_correlation`. */
function singleLabelTally(labelCount: number): MetricTally {
  const confusion = Array.from({ length: labelCount }, () => zeros(labelCount));
  let samples = 0;
  return {
    add({ logits, label }) {
      const row = label === undefined ? undefined : confusion[label];
      if (row === undefined) return;
      const prediction = argmax(logits);
      row[prediction] = (row[prediction] ?? 0) + 1;
      samples += 1;
    },
    metrics: () => ({
      accuracy: accuracy(confusion),
      f1: labelCount === 2 ? binaryF1(confusion) : macroF1(confusion),
      matthews_correlation: matthewsCorrelation(confusion),
    }),
    get samples() {
      return samples;
    },
  };
}

/** `accuracy` (all labels of a sample right), `f1` (over all decisions) and `f1_macro`; a logit above 0 is a yes. */
function multiLabelTally(labelCount: number): MetricTally {
  const counts = Array.from({ length: labelCount }, () => ({ right: 0, said: 0, true: 0 }));
  let samples = 0;
  let whole = 0;
  return {
    add({ logits, targets }) {
      if (targets === undefined) return;
      let allRight = true;
      counts.forEach((count, label) => {
        const said = (logits[label] ?? 0) > 0;
        const truth = (targets[label] ?? 0) > 0.5;
        count.said += said ? 1 : 0;
        count.true += truth ? 1 : 0;
        count.right += said && truth ? 1 : 0;
        allRight &&= said === truth;
      });
      samples += 1;
      whole += allRight ? 1 : 0;
    },
    metrics: () => {
      const total = (pick: (count: (typeof counts)[number]) => number): number =>
        counts.reduce((sum, count) => sum + pick(count), 0);
      const f1s = total((count) => ratio(2 * count.right, count.said + count.true));
      return {
        accuracy: ratio(whole, samples),
        f1: ratio(
          2 * total((count) => count.right),
          total((count) => count.said + count.true),
        ),
        f1_macro: ratio(f1s, labelCount),
      };
    },
    get samples() {
      return samples;
    },
  };
}

/** `mse`, and with one output `pearson` and `spearmanr`. Keeps two numbers a value. */
function regressionTally(outputs: number): MetricTally {
  const predictions: number[] = [];
  const truths: number[] = [];
  let samples = 0;
  return {
    add({ logits, target, targets }) {
      const wanted = targets ?? (target === undefined ? undefined : [target]);
      if (wanted === undefined) return;
      samples += 1;
      wanted.forEach((value, index) => {
        predictions.push(logits[index] ?? 0);
        truths.push(value);
      });
    },
    metrics: () => ({
      mse: meanSquaredError(predictions, truths),
      ...(outputs === 1
        ? {
            pearson: pearsonCorrelation(predictions, truths),
            spearmanr: spearmanCorrelation(predictions, truths),
          }
        : {}),
    }),
    get samples() {
      return samples;
    },
  };
}

/** A tally for a problem. @param labelCount columns of the logits */
export function createMetricTally(problemType: ProblemType, labelCount: number): MetricTally {
  switch (problemType) {
    case "single_label_classification":
      return singleLabelTally(labelCount);
    case "multi_label_classification":
      return multiLabelTally(labelCount);
    case "regression":
      return regressionTally(labelCount);
  }
}
