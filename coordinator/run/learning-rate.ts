/**
 * The learning rate of a step: the schedule's, or, once `set-learning-rate` was accepted, the schedule scaled so that it
 * has the given value at the step that the command names and goes on in its own shape from there. Pure.
 */

/** An accepted `set-learning-rate`. */
export interface RateChange {
  /** First step that it concerns. */
  readonly step: number;
  /** The rate at that step. */
  readonly value: number;
}

/**
 * The rate of a step's update.
 * @param scheduled the schedule's rate of a step
 * @param changes in ascending order of step
 */
export function learningRateOf(
  step: number,
  scheduled: (step: number) => number,
  changes: readonly RateChange[],
): number {
  const change = changes.findLast((candidate) => candidate.step <= step);
  if (change === undefined) return scheduled(step);
  const anchor = scheduled(change.step);
  if (anchor === 0) return change.value;
  return step === change.step ? change.value : change.value * (scheduled(step) / anchor);
}
