/**
 * Batches ahead of the step: reads microbatches from the coordinator, has them collated, and holds a bounded number of
 * them ready, in order. While it is full it does not read on, which is the back-pressure on the coordinator's stream.
 */
import { abortable } from "../../foundation/abortable.ts";
import type { ReadMicrobatchesResponse } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Batch } from "../model/model.ts";
import { Signpost } from "../ring/signpost.ts";
import type { Collating } from "./input-thread.ts";

/** A microbatch that is ready for the engine. */
export interface FedMicrobatch {
  /** Step that it belongs to; 0 in an evaluation. */
  readonly step: number;
  /** Index within the global batch or the evaluation. */
  readonly microbatch: number;
  readonly batch: Batch;
}

/** What to read and how far ahead. */
export interface FeedOptions {
  readonly source: (signal: AbortSignal) => AsyncIterable<ReadMicrobatchesResponse>;
  readonly collating: Collating;
  /** Rows of a batch. */
  readonly microbatchSize: number;
  /** Microbatches that are being collated or ready at any one time; at least 2. */
  readonly ahead: number;
}

/** One stream of batches. */
export class Feed {
  readonly #options: FeedOptions;
  readonly #held: Promise<FedMicrobatch>[] = [];
  readonly #changed = new Signpost();
  readonly #closing = new AbortController();
  #end: { readonly error: Error | null } | null = null;

  /** Starts to read at once. */
  constructor(options: FeedOptions) {
    this.#options = options;
    this.#pump().then(
      () => this.#finish(null),
      (error: unknown) => this.#finish(error instanceof Error ? error : new Error(String(error))),
    );
  }

  /** Microbatches that are ready or being collated. */
  get held(): number {
    return this.#held.length;
  }

  /** The next microbatch; null after the last. Rejects with what went wrong, or the signal's reason. */
  async next(signal: AbortSignal): Promise<FedMicrobatch | null> {
    for (;;) {
      signal.throwIfAborted();
      const head = this.#held[0];
      if (head !== undefined) {
        const fed = await abortable(head, signal);
        void this.#held.shift();
        this.#changed.raise();
        return fed;
      }
      if (this.#end !== null) {
        if (this.#end.error !== null) throw this.#end.error;
        return null;
      }
      await this.#changed.reached(signal);
    }
  }

  /** Stops reading and lets go of what is held. */
  close(): void {
    this.#closing.abort(new Error("The feed is closed"));
    this.#held.length = 0;
    this.#changed.raise();
  }

  async #pump(): Promise<void> {
    const { source, collating, microbatchSize, ahead } = this.#options;
    const { signal } = this.#closing;
    for await (const { step, microbatch, samples } of source(signal)) {
      while (this.#held.length >= ahead && !signal.aborted) await this.#changed.reached(signal);
      signal.throwIfAborted();
      const fed = collating
        .collate(samples, microbatchSize)
        .then((batch) => ({ step: Number(step), microbatch, batch }));
      // Its failure is told when its turn comes.
      fed.catch(() => undefined);
      this.#held.push(fed);
      this.#changed.raise();
    }
  }

  #finish(error: Error | null): void {
    this.#end ??= { error };
    this.#changed.raise();
  }
}
