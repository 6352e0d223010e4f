/** When the input thread made which batch: kept for the last few, because a profiled step's input was made ahead of it. */
import type { Batch } from "../model/model.ts";

/** One batch's making, in milliseconds of the worker's clock. */
export interface Collation {
  readonly startMs: number;
  readonly endMs: number;
}

const collationsMax = 256;

/** The last collations, oldest first. Batches are not kept. */
export class CollationLog {
  readonly #recent: Collation[] = [];
  readonly #byBatch = new WeakMap<Batch, Collation>();

  /** Takes a batch that has been made. */
  note(batch: Batch, collation: Collation): void {
    this.#byBatch.set(batch, collation);
    this.#recent.push(collation);
    if (this.#recent.length > collationsMax) this.#recent.shift();
  }

  /** The last ones. */
  get recent(): readonly Collation[] {
    return this.#recent;
  }

  /** That of a batch, or null. */
  of(batch: Batch): Collation | null {
    return this.#byBatch.get(batch) ?? null;
  }
}
