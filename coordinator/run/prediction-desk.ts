/**
 * Deals records to whoever asks next, and puts what comes back into the records' order. Records are read as far ahead as
 * their answers are awaited, and no further; within a window they go out sorted by length, which computes less padding.
 */
import type { DataRecord } from "../data/dataset.ts";

/** What the model says of one record. */
export interface PredictedRecord {
  readonly record: DataRecord;
  readonly logits: Float32Array;
}

/** Records of one turn of a worker. */
export interface DealtMicrobatch {
  readonly microbatch: number;
  readonly records: readonly DataRecord[];
}

/** Microbatches whose records are sorted together. */
const windowMicrobatches = 64;
/** Windows of records that may be out or wait for an earlier one. */
const outstandingWindows = 3;

interface Placed {
  /** Counts the records in the order in which they are given back. */
  readonly place: number;
  readonly record: DataRecord;
}

function lengthOf({ record }: Placed): number {
  return record.text.length + (record.textPair?.length ?? 0);
}

/** Deals and collects. */
export class PredictionDesk {
  readonly #source: AsyncIterator<readonly DataRecord[]>;
  readonly #microbatchSize: number;
  #waiting: (readonly Placed[])[] = [];
  readonly #out = new Map<number, readonly Placed[]>();
  readonly #answered = new Map<number, PredictedRecord>();
  #turn: Promise<unknown> = Promise.resolve();
  #roomMade: (() => void)[] = [];
  #read = 0;
  #given = 0;
  #dealt = 0;
  #isOver = false;

  constructor(records: AsyncIterable<readonly DataRecord[]>, microbatchSize: number) {
    this.#source = records[Symbol.asyncIterator]();
    this.#microbatchSize = microbatchSize;
  }

  /** The next microbatch, once there is room for its answers; null after the last. Rejects as the records do. */
  next(signal: AbortSignal): Promise<DealtMicrobatch | null> {
    const turn = this.#turn.then(() => this.#deal(signal));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  /** Takes the logits of a microbatch, row by row. Throws when it was not dealt or the rows are not its own. */
  answer(microbatch: number, logits: Float32Array, columns: number): void {
    const placed = this.#out.get(microbatch);
    if (placed === undefined || logits.length !== placed.length * columns) {
      throw new Error(
        `Cannot take microbatch ${microbatch} of ${placed?.length ?? "no"} records: ${logits.length} logits in ${columns} columns`,
      );
    }
    this.#out.delete(microbatch);
    for (const [row, { place, record }] of placed.entries()) {
      const own = logits.slice(row * columns, (row + 1) * columns);
      this.#answered.set(place, { record, logits: own });
    }
  }

  /** Takes out the answers whose turn has come. */
  *ready(): Generator<PredictedRecord> {
    for (;;) {
      const next = this.#answered.get(this.#given);
      if (next === undefined) break;
      this.#answered.delete(this.#given);
      this.#given += 1;
      yield next;
    }
    for (const tell of this.#roomMade.splice(0)) tell();
  }

  async #deal(signal: AbortSignal): Promise<DealtMicrobatch | null> {
    if (this.#waiting.length === 0 && !this.#isOver) await this.#fill(signal);
    const placed = this.#waiting.shift();
    if (placed === undefined) return null;
    const microbatch = this.#dealt;
    this.#dealt += 1;
    this.#out.set(microbatch, placed);
    return { microbatch, records: placed.map(({ record }) => record) };
  }

  /** Reads a window and cuts it. */
  async #fill(signal: AbortSignal): Promise<void> {
    const windowRecords = windowMicrobatches * this.#microbatchSize;
    while (this.#read - this.#given > (outstandingWindows - 1) * windowRecords) {
      await this.#room(signal);
    }
    const window: Placed[] = [];
    while (window.length < windowRecords && !this.#isOver) {
      const { value, done } = await this.#source.next();
      if (done === true) this.#isOver = true;
      else for (const record of value) window.push({ place: this.#read++, record });
    }
    window.sort((left, right) => lengthOf(left) - lengthOf(right));
    this.#waiting = Array.from(
      { length: Math.ceil(window.length / this.#microbatchSize) },
      (_, index) => window.slice(index * this.#microbatchSize, (index + 1) * this.#microbatchSize),
    );
  }

  #room(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    return new Promise((resolve, reject) => {
      const onAbort = (): void => reject(signal.reason as Error);
      signal.addEventListener("abort", onAbort, { once: true });
      this.#roomMade.push(() => {
        signal.removeEventListener("abort", onAbort);
        resolve();
      });
    });
  }
}
