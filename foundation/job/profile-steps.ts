/** Which steps of a run are profiled. Pure. */
import type { LaunchSettings } from "./settings.ts";

/** Steps that one run may profile: a trace of a step takes megabytes. */
export const profiledStepsMax = 100;

/** Steps from `first` to `last`, both included. */
export interface StepRange {
  readonly first: number;
  readonly last: number;
}

/** Reads `10-12`, or `10` for one step. */
export function parseStepRange(text: string): StepRange {
  const [first = Number.NaN, last = first] = text.split("-").map(Number);
  return { first, last };
}

/** Steps that are left alone at first: the first ones still make memory and thread pools warm. */
const warmUpSteps = 9;
const chosenSteps = 3;

/**
 * The steps to profile, or null for none. Chosen are three after nine others of this start; in a shorter run the last
 * three, but not the first step of all unless there is no other.
 * @param firstStep of this start
 * @param totalSteps of the run
 */
export function profiledSteps(
  { profile, profileSteps }: Pick<LaunchSettings, "profile" | "profileSteps">,
  firstStep: number,
  totalSteps: number,
): StepRange | null {
  if (profileSteps !== null) return parseStepRange(profileSteps);
  if (!profile || firstStep > totalSteps) return null;
  const last = Math.min(totalSteps, firstStep + warmUpSteps + chosenSteps - 1);
  const first = Math.max(last - chosenSteps + 1, Math.min(firstStep + 1, last));
  return { first, last };
}
