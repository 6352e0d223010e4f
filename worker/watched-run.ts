/**
 * Programs under way as the main thread sees them: which parts of the vector are there while the engine still computes the
 * others. Looked at every few milliseconds: TensorFlow has no way to wake a thread of JavaScript.
 */
import type { PhaseResult } from "./engine/engine.ts";
import { WriteMarks, type RunMarks } from "./engine/write-marks.ts";
import { abortable } from "../foundation/abortable.ts";
import { waitUntil } from "./patience.ts";

/** One program. */
export class WatchedRun {
  /** What it gives, once it is over. */
  readonly result: Promise<PhaseResult>;
  /** Resolves when it is over, however. */
  readonly settled: Promise<void>;
  readonly #marks: WriteMarks;
  #endedMs: number | null = null;

  constructor(result: Promise<PhaseResult>, marks: WriteMarks, nowMs: () => number) {
    this.result = result;
    this.#marks = marks;
    const end = (): void => {
      this.#endedMs = nowMs();
    };
    this.settled = result.then(end, end);
  }

  /** When it was over; null before. */
  get endedMs(): number | null {
    return this.#endedMs;
  }

  /** Whether parts `[first, end)` can be read. */
  hasReached(first: number, end: number): boolean {
    if (this.#endedMs !== null) return true;
    for (let part = first; part < end; part++) if (!this.#marks.has(part)) return false;
    return true;
  }

  /** Waits until parts `[first, end)` can be read. Rejects when the program fails first, or with the signal's reason. */
  async reach(first: number, end: number, signal: AbortSignal): Promise<void> {
    await waitUntil(() => this.hasReached(first, end), signal);
    if (this.#endedMs !== null) await this.result;
  }
}

/** The programs of one worker, one after the other. */
export class RunWatch {
  readonly #marks: WriteMarks;
  readonly #nowMs: () => number;
  #last: Promise<void> = Promise.resolve();

  /** @param parts of the vectors that are written */
  constructor(parts: number, nowMs: () => number) {
    this.#marks = new WriteMarks(parts);
    this.#nowMs = nowMs;
  }

  /** Watches a program from its start; the one before must be over, or abandoned. */
  start(run: (marks: RunMarks) => Promise<PhaseResult>): WatchedRun {
    const started = new WatchedRun(run(this.#marks.begin()), this.#marks, this.#nowMs);
    this.#last = started.settled;
    return started;
  }

  /** Waits until nothing is written any more, by a program that was abandoned either. */
  async idle(signal: AbortSignal): Promise<void> {
    await abortable(this.#last, signal);
  }
}
