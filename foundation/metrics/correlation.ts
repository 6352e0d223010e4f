/** Metrics of regression. Definitions as scipy's and scikit-learn's; what is undefined is 0. */
import { ratio } from "./classification.ts";

function mean(values: readonly number[]): number {
  return ratio(
    values.reduce((total, value) => total + value, 0),
    values.length,
  );
}

/** Mean of the squared differences. */
export function meanSquaredError(
  predictions: readonly number[],
  targets: readonly number[],
): number {
  return mean(predictions.map((prediction, index) => (prediction - (targets[index] ?? 0)) ** 2));
}

/** Pearson's linear correlation. */
export function pearsonCorrelation(xs: readonly number[], ys: readonly number[]): number {
  const meanX = mean(xs);
  const meanY = mean(ys);
  let covariance = 0;
  let varianceX = 0;
  let varianceY = 0;
  xs.forEach((x, index) => {
    const fromX = x - meanX;
    const fromY = (ys[index] ?? 0) - meanY;
    covariance += fromX * fromY;
    varianceX += fromX ** 2;
    varianceY += fromY ** 2;
  });
  return ratio(covariance, Math.sqrt(varianceX * varianceY));
}

/** Ranks from 1; equal values share the mean of their ranks. */
function ranksOf(values: readonly number[]): number[] {
  const order = values.map((value, index) => ({ value, index })).sort((a, b) => a.value - b.value);
  const ranks = values.map(() => 0);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    while (end < order.length && order[end]?.value === order[start]?.value) end += 1;
    for (const { index } of order.slice(start, end)) ranks[index] = (start + 1 + end) / 2;
    start = end;
  }
  return ranks;
}

/** Spearman's correlation of ranks. */
export function spearmanCorrelation(xs: readonly number[], ys: readonly number[]): number {
  return pearsonCorrelation(ranksOf(xs), ranksOf(ys));
}
