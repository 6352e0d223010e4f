/** Metrics of single-label classification from a confusion matrix. Definitions and edge cases as scikit-learn's. */

/** `confusion[truth][prediction]`: counts; square. */
export type ConfusionMatrix = readonly (readonly number[])[];

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

/** Counts of one class against the rest. */
interface ClassCounts {
  readonly truePositives: number;
  readonly predicted: number;
  readonly actual: number;
}

function countsOf(confusion: ConfusionMatrix, label: number): ClassCounts {
  return {
    truePositives: confusion[label]?.[label] ?? 0,
    predicted: sum(confusion.map((row) => row[label] ?? 0)),
    actual: sum(confusion[label] ?? []),
  };
}

/** A ratio, 0 where it is undefined. */
export function ratio(numerator: number, denominator: number): number {
  return denominator === 0 ? 0 : numerator / denominator;
}

function f1Of({ truePositives, predicted, actual }: ClassCounts): number {
  return ratio(2 * truePositives, predicted + actual);
}

/** Share of right predictions. */
export function accuracy(confusion: ConfusionMatrix): number {
  return ratio(sum(confusion.map((row, label) => row[label] ?? 0)), sum(confusion.map(sum)));
}

/** F1 of the class 1: harmonic mean of precision and recall, 0 when there is neither a positive nor a prediction of one. */
export function binaryF1(confusion: ConfusionMatrix): number {
  return f1Of(countsOf(confusion, 1));
}

/** Unweighted mean of the F1 of each class that occurs, in truth or in prediction. */
export function macroF1(confusion: ConfusionMatrix): number {
  const classes = confusion
    .map((_, label) => countsOf(confusion, label))
    .filter(({ predicted, actual }) => predicted + actual > 0);
  return ratio(sum(classes.map(f1Of)), classes.length);
}

/** Matthews' correlation coefficient, for any number of classes (Gorodkin 2004); 0 where it is undefined. */
export function matthewsCorrelation(confusion: ConfusionMatrix): number {
  const samples = sum(confusion.map(sum));
  const classes = confusion.map((_, label) => countsOf(confusion, label));
  const right = sum(classes.map(({ truePositives }) => truePositives));
  const crossed = sum(classes.map(({ predicted, actual }) => predicted * actual));
  const predictedSquares = sum(classes.map(({ predicted }) => predicted ** 2));
  const actualSquares = sum(classes.map(({ actual }) => actual ** 2));
  return ratio(
    right * samples - crossed,
    Math.sqrt((samples ** 2 - predictedSquares) * (samples ** 2 - actualSquares)),
  );
}
