/**
 * Which evaluation is the best so far, and whether training should stop because none has been better for a while.
 * Pure; equal to transformers' EarlyStoppingCallback and best-model bookkeeping.
 */
import type { JobSettings } from "../../foundation/job/settings.ts";

/** The settings that decide. */
export type BestSettings = Pick<
  JobSettings,
  "metricForBestModel" | "greaterIsBetter" | "earlyStoppingPatience" | "earlyStoppingThreshold"
>;

/** One evaluation's value of the metric that decides. */
export interface Score {
  readonly step: number;
  readonly value: number;
}

/** What the evaluations so far amount to. */
export interface Standing {
  readonly best: Score | null;
  /** Evaluations since one was better by more than the threshold. */
  readonly unimproved: number;
}

/** Before the first evaluation. */
export const noStanding: Standing = { best: null, unimproved: 0 };

/** The deciding metric of an evaluation, or null when it was not computed. */
export function scoreOf(
  metrics: Readonly<Record<string, number>>,
  settings: BestSettings,
): number | null {
  return metrics[settings.metricForBestModel.replace(/^eval_/u, "")] ?? null;
}

/** Takes one more evaluation into account. */
export function stand(standing: Standing, score: Score, settings: BestSettings): Standing {
  const { best } = standing;
  const sign = settings.greaterIsBetter ? 1 : -1;
  const gain = best === null ? Infinity : sign * (score.value - best.value);
  return {
    best: gain > 0 ? score : best,
    unimproved: gain > settings.earlyStoppingThreshold ? 0 : standing.unimproved + 1,
  };
}

/** The reason to stop early, or null to go on. */
export function earlyStop(standing: Standing, settings: BestSettings): string | null {
  const { earlyStoppingPatience: patience, metricForBestModel: metric } = settings;
  if (patience === null || standing.unimproved < patience) return null;
  return `${metric} has not improved for ${standing.unimproved} evaluations`;
}
