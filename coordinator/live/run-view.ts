/**
 * What a person sees of a run: a view is told what happens, and shows it in its own way. `live-view.ts` draws on a
 * terminal, `plain-view.ts` writes lines for a pipe or a log.
 */

/** Shares from 0 to 1 of what was computed. */
export interface LengthShares {
  /** Of the samples, those cut at the longest sequence. */
  readonly truncated: number;
  /** Of the computed tokens, those that were padding. */
  readonly padding: number;
}

/** Where a worker's step went, in milliseconds. */
export interface WorkerTimings {
  readonly dataMs: number;
  readonly computeMs: number;
  readonly exchangeMs: number;
  readonly updateMs: number;
}

/** One worker as the view shows it. */
export interface WorkerLine {
  readonly rank: number;
  readonly workerId: string;
  /** `compute`, `exchange`, … */
  readonly state: string;
  /** Of its last step; null before the first. */
  readonly timings: WorkerTimings | null;
}

/** A committed step. */
export interface StepView {
  readonly step: number;
  readonly totalSteps: number;
  /** Epochs done, as a fraction. */
  readonly epoch: number;
  readonly epochs: number;
  readonly loss: number;
  readonly learningRate: number;
  readonly gradNorm: number;
  /** Over the last steps; null before two are done. */
  readonly samplesPerSecond: number | null;
  /** Until the last step, evaluations not counted; null before two steps are done. */
  readonly etaMs: number | null;
  /** What became of the samples' lengths so far. */
  readonly lengths: LengthShares;
}

/** One evaluation of the closing table. */
export interface EvaluationView {
  readonly step: number;
  readonly epoch: number;
  readonly split: string;
  readonly metrics: Readonly<Record<string, number>>;
}

/** Shows a run. */
export interface RunView {
  /** A line that stays: a note, a warning, something that happened. */
  say(line: string): void;
  /** A line about a failure. */
  complain(line: string): void;
  /** What is going on before and between steps. */
  doing(what: string): void;
  /** The workers have taken their places. @param lines gives what is known of each now */
  watch(lines: () => readonly WorkerLine[]): void;
  /** A step is committed. */
  stepped(step: StepView): void;
  /** Microbatches of an evaluation that are done. */
  evaluating(done: number, of: number): void;
  /** An evaluation is complete. */
  evaluated(evaluation: EvaluationView): void;
  /** Takes whatever moves away, so that other things can be written. */
  close(): void;
}
