/** A run as lines: for a pipe, a log, a terminal that cannot move its cursor. */
import { durationText, metricText, rateText } from "./format.ts";
import type { EvaluationView, RunView, StepView } from "./run-view.ts";

/** Writes lines. */
export class PlainView implements RunView {
  readonly #write: (line: string) => void;
  readonly #complain: (line: string) => void;
  readonly #everySteps: number;

  /**
   * @param lines each takes one line without its end: for what happens, and for failures
   * @param everySteps steps between two lines
   */
  constructor(
    lines: { readonly out: (line: string) => void; readonly error: (line: string) => void },
    everySteps: number,
  ) {
    this.#write = lines.out;
    this.#complain = lines.error;
    this.#everySteps = everySteps;
  }

  say(line: string): void {
    this.#write(line);
  }

  complain(line: string): void {
    this.#complain(line);
  }

  doing(what: string): void {
    this.#write(`${what} …`);
  }

  stepped(step: StepView): void {
    const { step: number, totalSteps } = step;
    if (number % this.#everySteps === 0 || number === totalSteps) this.#write(stepText(step));
  }

  watch(): void {}

  evaluating(): void {}

  evaluated(evaluation: EvaluationView): void {
    this.#write(evaluationText(evaluation));
  }

  close(): void {}
}

/** A committed step in one line. */
export function stepText(step: StepView): string {
  const { samplesPerSecond: rate, etaMs } = step;
  const speed = rate === null ? "" : ` · ${rate.toFixed(1)} samples/s`;
  const left = etaMs === null ? "" : ` · ${durationText(etaMs)} left`;
  return `step ${step.step}/${step.totalSteps} · epoch ${step.epoch.toFixed(2)} · loss ${metricText(step.loss)} · learning rate ${rateText(step.learningRate)}${speed}${left}`;
}

/** An evaluation in one line. */
export function evaluationText(evaluation: EvaluationView): string {
  const metrics = Object.entries(evaluation.metrics).map(
    ([name, value]) => `${name} ${metricText(value)}`,
  );
  return `${evaluation.split} after step ${evaluation.step} (epoch ${evaluation.epoch.toFixed(2)}): ${metrics.join(" · ")}`;
}
