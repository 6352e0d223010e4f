/**
 * PyTorch's ReduceLROnPlateau, replayed over the evaluations so far: the rate is multiplied by `factor` after more than
 * `patience` evaluations without a better metric.
 */

/** The metric for the best model at one evaluation. */
export interface EvaluatedMetric {
  /** Step after which the evaluation ran. */
  readonly step: number;
  readonly value: number;
}

function isBetter(
  value: number,
  best: number,
  kwargs: Readonly<Record<string, number | string>>,
): boolean {
  const threshold = typeof kwargs["threshold"] === "number" ? kwargs["threshold"] : 1e-4;
  const relative = kwargs["threshold_mode"] !== "abs";
  if (kwargs["mode"] === "max") {
    return value > (relative ? best * (1 + threshold) : best + threshold);
  }
  return value < (relative ? best * (1 - threshold) : best - threshold);
}

/** The learning rate after `past` evaluations. */
export function plateauRate(
  learningRate: number,
  kwargs: Readonly<Record<string, number | string>>,
  past: readonly EvaluatedMetric[],
): number {
  const number = (name: string, fallback: number): number =>
    typeof kwargs[name] === "number" ? kwargs[name] : fallback;
  let rate = learningRate;
  let best = kwargs["mode"] === "max" ? -Infinity : Infinity;
  let bad = 0;
  let cooldown = 0;
  for (const { value } of past) {
    if (isBetter(value, best, kwargs)) {
      best = value;
      bad = 0;
    } else {
      bad += 1;
    }
    if (cooldown > 0) {
      cooldown -= 1;
      bad = 0;
    }
    if (bad > number("patience", 10)) {
      const lower = Math.max(rate * number("factor", 0.1), number("min_lr", 0));
      if (rate - lower > number("eps", 1e-8)) rate = lower;
      cooldown = number("cooldown", 0);
      bad = 0;
    }
  }
  return rate;
}
