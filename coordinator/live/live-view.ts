/**
 * A run on a terminal: one block of lines at the bottom that is drawn anew, and above it the lines that stay.
 *
 *   epoch 1.25 of 3 · step 40/96  ━━━━━━━━━━━━──────────────────  42 %
 *   loss 0.4312 · learning rate 3.1e-5 · 61.2 samples/s · 12 s left · padding 8 %
 *   rank 0  worker-0  compute    data    1  compute  102  exchange   12  update    8 ms
 */
import { durationText, metricText, rateText, shareText } from "./format.ts";
import { evaluationText } from "./plain-view.ts";
import type { EvaluationView, RunView, StepView, WorkerLine } from "./run-view.ts";

/** The terminal, as far as the view needs it. */
export interface Terminal {
  /** Takes text as it is, control sequences included. */
  readonly write: (text: string) => void;
  /** Columns now. */
  readonly columns: () => number;
}

/** Interval of drawing anew, in milliseconds. */
const drawMs = 200;
const barColumns = 30;
const columnsMin = 40;

/** What is shown at the bottom. */
export interface LiveState {
  /** What goes on; empty while steps do. */
  readonly doing: string;
  readonly step: StepView | null;
  readonly workers: readonly WorkerLine[];
}

/** The lines of the block. Pure. */
export function liveLines(state: LiveState): readonly string[] {
  const { doing, step, workers } = state;
  return [
    ...(step === null ? [] : stepLines(step)),
    ...workers.map(workerText),
    ...(doing === "" ? [] : [`${doing} …`]),
  ];
}

function stepLines(step: StepView): readonly string[] {
  const share = step.totalSteps === 0 ? 1 : step.step / step.totalSteps;
  const filled = Math.round(share * barColumns);
  const bar = "━".repeat(filled) + "─".repeat(barColumns - filled);
  const facts = [
    `loss ${metricText(step.loss)}`,
    `learning rate ${rateText(step.learningRate)}`,
    ...(step.samplesPerSecond === null ? [] : [`${step.samplesPerSecond.toFixed(1)} samples/s`]),
    ...(step.etaMs === null ? [] : [`${durationText(step.etaMs)} left`]),
    `padding ${shareText(step.lengths.padding)}`,
    ...(step.lengths.truncated === 0 ? [] : [`cut ${shareText(step.lengths.truncated)}`]),
  ];
  const epochs = Number.isInteger(step.epochs) ? step.epochs : step.epochs.toFixed(2);
  return [
    `epoch ${step.epoch.toFixed(2)} of ${epochs} · step ${step.step}/${step.totalSteps}  ${bar}  ${Math.floor(100 * share)} %`,
    facts.join(" · "),
  ];
}

function workerText({ rank, workerId, state, timings }: WorkerLine): string {
  const head = `rank ${rank}  ${workerId}  ${state.padEnd(10)}`;
  if (timings === null) return head;
  const phases = [
    ["data", timings.dataMs],
    ["compute", timings.computeMs],
    ["exchange", timings.exchangeMs],
    ["update", timings.updateMs],
  ] as const;
  const times = phases.map(([name, ms]) => `${name} ${String(Math.round(ms)).padStart(4)}`);
  return `${head}  ${times.join("  ")} ms`;
}

/** Draws on a terminal. */
export class LiveView implements RunView {
  readonly #terminal: Terminal;
  readonly #timer: NodeJS.Timeout;
  #doing = "";
  #step: StepView | null = null;
  #workers: () => readonly WorkerLine[] = () => [];
  #drawn = 0;
  #closed = false;

  constructor(terminal: Terminal) {
    this.#terminal = terminal;
    this.#timer = setInterval(() => this.#draw(), drawMs);
    this.#timer.unref();
  }

  say(line: string): void {
    this.#erase();
    this.#terminal.write(`${line}\n`);
    this.#draw();
  }

  complain(line: string): void {
    this.say(line);
  }

  doing(what: string): void {
    this.#doing = what;
    this.#draw();
  }

  watch(lines: () => readonly WorkerLine[]): void {
    this.#workers = lines;
    this.#doing = "";
  }

  stepped(step: StepView): void {
    this.#step = step;
    this.#doing = "";
  }

  evaluating(done: number, of: number): void {
    this.#doing = `evaluating: ${done} of ${of} microbatches`;
  }

  evaluated(evaluation: EvaluationView): void {
    this.#doing = "";
    this.say(evaluationText(evaluation));
  }

  close(): void {
    if (this.#closed) return;
    clearInterval(this.#timer);
    this.#erase();
    this.#closed = true;
  }

  #draw(): void {
    if (this.#closed) return;
    const columns = Math.max(columnsMin, this.#terminal.columns()) - 1;
    const state = { doing: this.#doing, step: this.#step, workers: this.#workers() };
    // A line that wraps would be two to erase.
    const lines = liveLines(state).map((line) => line.slice(0, columns));
    this.#erase();
    this.#terminal.write(lines.map((line) => `${line}\n`).join(""));
    this.#drawn = lines.length;
  }

  #erase(): void {
    if (this.#drawn > 0) this.#terminal.write(`\u001B[${this.#drawn}A\u001B[0J`);
    this.#drawn = 0;
  }
}
