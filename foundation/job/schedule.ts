/**
 * Learning-rate schedules, equal to those of transformers' `optimization.py` (and, for `reduce_lr_on_plateau`, PyTorch's
 * scheduler of that name). Pure: the rate of an update is a function of the settings, its step and, on a plateau, of the
 * evaluations before it, so that a resumed run needs no scheduler state.
 */
import { plateauRate, type EvaluatedMetric } from "./schedule-plateau.ts";
import type { JobSettings } from "./settings.ts";

/** What decides a schedule. */
export type ScheduleSettings = Pick<
  JobSettings,
  "learningRate" | "lrSchedulerType" | "lrSchedulerKwargs" | "warmupSteps" | "warmupRatio"
>;

/** Steps of linear warm-up out of `totalSteps`; warmupSteps below 1 is a share, as in transformers 5. */
export function warmupStepsOf(settings: ScheduleSettings, totalSteps: number): number {
  if (settings.warmupSteps >= 1) return Math.floor(settings.warmupSteps);
  const share = settings.warmupSteps > 0 ? settings.warmupSteps : settings.warmupRatio;
  return Math.ceil(totalSteps * share);
}

/** What a schedule's factor is computed from; `done` counts the updates before this one. */
interface At {
  readonly done: number;
  readonly warmup: number;
  readonly total: number;
  readonly learningRate: number;
  readonly number: (name: string, fallback: number) => number;
  readonly word: (name: string, fallback: string) => string;
}

function rising(at: At): number {
  return at.done / Math.max(1, at.warmup);
}

function progress(at: At): number {
  return (at.done - at.warmup) / Math.max(1, at.total - at.warmup);
}

function linear(at: At): number {
  return Math.max(0, (at.total - at.done) / Math.max(1, at.total - at.warmup));
}

function cosineWave(cycles: number, share: number): number {
  return 0.5 * (1 + Math.cos(Math.PI * cycles * 2 * share));
}

function cosine(at: At): number {
  return Math.max(0, cosineWave(at.number("num_cycles", 0.5), progress(at)));
}

function cosineWithRestarts(at: At): number {
  const share = progress(at);
  if (share >= 1) return 0;
  return Math.max(0, 0.5 * (1 + Math.cos(Math.PI * ((at.number("num_cycles", 1) * share) % 1))));
}

function polynomial(at: At): number {
  const end = at.number("lr_end", 1e-7);
  if (at.done > at.total) return end / at.learningRate;
  const left = 1 - (at.done - at.warmup) / (at.total - at.warmup);
  return ((at.learningRate - end) * left ** at.number("power", 1) + end) / at.learningRate;
}

function inverseSquareRoot(at: At): number {
  const timescale = at.number("timescale", at.warmup === 0 ? 10_000 : at.warmup);
  return 1 / Math.sqrt((at.done + timescale - at.warmup) / timescale);
}

function leastFactor(at: At): number {
  return at.number("min_lr_rate", at.number("min_lr", 0) / at.learningRate);
}

function cosineWithMin(at: At): number {
  const least = leastFactor(at);
  return Math.max(0, cosineWave(at.number("num_cycles", 0.5), progress(at)) * (1 - least) + least);
}

function cosineWarmupWithMin(at: At): number {
  if (at.done < at.warmup) {
    const start = at.number("warmup_lr_rate", Number.NaN);
    if (Number.isNaN(start)) return (at.done + 1) / Math.max(1, at.warmup);
    return start + ((1 - start) * at.done) / Math.max(1, at.warmup - 1);
  }
  const share = (at.done - at.warmup + 1) / Math.max(1, at.total - at.warmup);
  const least = leastFactor(at);
  return Math.max(0, cosineWave(at.number("num_cycles", 0.5), share) * (1 - least) + least);
}

function shaped(kind: string, share: number): number {
  if (kind === "cosine") return 0.5 * (1 - Math.cos(Math.PI * share));
  return kind === "1-sqrt" ? 1 - Math.sqrt(1 - share) : share;
}

function falling(kind: string, share: number, cycles: number): number {
  if (kind === "cosine") return cosineWave(cycles, share);
  return kind === "1-sqrt" ? 1 - Math.sqrt(share) : 1 - share;
}

function warmupStableDecay(at: At): number {
  const least = at.number("min_lr_ratio", 0);
  const decay = at.number("num_decay_steps", 0);
  const stable = at.number("num_stable_steps", at.total - at.warmup - decay);
  if (at.done < at.warmup) {
    return Math.max(0, shaped(at.word("warmup_type", "linear"), rising(at)) * (1 - least) + least);
  }
  if (at.done < at.warmup + stable) return 1;
  if (at.done >= at.warmup + stable + decay) return least;
  const share = (at.done - at.warmup - stable) / Math.max(1, decay);
  const factor = falling(at.word("decay_type", "cosine"), share, at.number("num_cycles", 0.5));
  return Math.max(0, factor * (1 - least) + least);
}

function factorAt(settings: ScheduleSettings, at: At): number {
  const type = settings.lrSchedulerType;
  if (type === "constant" || type === "reduce_lr_on_plateau") return 1;
  if (type === "cosine_warmup_with_min_lr") return cosineWarmupWithMin(at);
  if (type === "warmup_stable_decay") return warmupStableDecay(at);
  if (at.done < at.warmup) return rising(at);
  switch (type) {
    case "linear":
      return linear(at);
    case "cosine":
      return cosine(at);
    case "cosine_with_restarts":
      return cosineWithRestarts(at);
    case "polynomial":
      return polynomial(at);
    case "constant_with_warmup":
      return 1;
    case "inverse_sqrt":
      return inverseSquareRoot(at);
    case "cosine_with_min_lr":
      return cosineWithMin(at);
  }
}

/**
 * The learning rate of the update of `step`, counted from 1: what transformers' trainer uses (and logs) for it, so the
 * first step of a warm-up has rate 0.
 * @param evaluations the metric for the best model at each evaluation so far, ascending by step; only those before
 *   `step` count, and only for `reduce_lr_on_plateau`
 */
export function learningRateAt(
  settings: ScheduleSettings,
  totalSteps: number,
  step: number,
  evaluations: readonly EvaluatedMetric[] = [],
): number {
  const kwargs = settings.lrSchedulerKwargs;
  if (settings.lrSchedulerType === "reduce_lr_on_plateau") {
    const past = evaluations.filter((evaluation) => evaluation.step < step);
    return plateauRate(settings.learningRate, kwargs, past);
  }
  const at: At = {
    done: step - 1,
    warmup: warmupStepsOf(settings, totalSteps),
    total: totalSteps,
    learningRate: settings.learningRate,
    number: (name, fallback) => (typeof kwargs[name] === "number" ? kwargs[name] : fallback),
    word: (name, fallback) => (typeof kwargs[name] === "string" ? kwargs[name] : fallback),
  };
  return settings.learningRate * factorAt(settings, at);
}
