/**
 * The batches of the step at hand: taken from the feed once, then kept until the next step, because a later phase and
 * a redone attempt need them again.
 */
import type { FedMicrobatch } from "./input/feed.ts";
import type { Batch } from "./model/model.ts";

/** Where microbatches come from, in order. */
export interface MicrobatchSource {
  next(signal: AbortSignal): Promise<FedMicrobatch | null>;
  close(): void;
}

/** Serves the microbatches of one step after the other. */
export class StepFeed {
  readonly #source: MicrobatchSource;
  readonly #batches = new Map<number, Batch>();
  #step = 0;

  constructor(source: MicrobatchSource) {
    this.#source = source;
  }

  /** Batches of the step at hand that have been taken, by microbatch. */
  get taken(): ReadonlyMap<number, Batch> {
    return this.#batches;
  }

  /** A microbatch of a step; steps only go forward. Throws when the coordinator has dealt something else. */
  async take(step: number, microbatch: number, signal: AbortSignal): Promise<Batch> {
    if (step !== this.#step) {
      this.#batches.clear();
      this.#step = step;
    }
    const kept = this.#batches.get(microbatch);
    if (kept !== undefined) return kept;
    for (;;) {
      const fed = await this.#source.next(signal);
      if (fed === null) {
        throw new Error(`Cannot compute step ${step}: its microbatches have ended before it`);
      }
      if (fed.step < step) continue;
      if (fed.step !== step || fed.microbatch !== microbatch) {
        throw new Error(
          `Cannot compute microbatch ${microbatch} of step ${step}: microbatch ${fed.microbatch} of step ${fed.step} was dealt`,
        );
      }
      this.#batches.set(microbatch, fed.batch);
      return fed.batch;
    }
  }

  /** Stops reading. */
  close(): void {
    this.#source.close();
    this.#batches.clear();
  }
}
