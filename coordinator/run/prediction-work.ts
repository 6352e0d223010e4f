/**
 * The work of a prediction: records come from a source as fast as they are asked for, are cut into microbatches of like
 * length, go to whichever worker has room, and come out in the order of the records. What is under way is bounded, so
 * that neither an endless source nor a slow reader of the results fills the memory.
 */
import type { EvaluatedMicrobatch } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { DataRecord } from "../data/dataset.ts";
import { logitsOf } from "./evaluation.ts";

/** What a model says of one record. */
export interface PredictedRecord {
  /** Index of the record. */
  readonly index: number;
  readonly logits: Float32Array;
  /**
   * Weighted sum of the loss, and its weight, of the microbatch that the record begins; 0 for its other records. Their
   * sums over all records are those of all samples.
   */
  readonly lossSum: number;
  readonly weight: number;
}

/** A microbatch under way. */
export interface PredictionTask {
  /** Counts all microbatches, from 0. */
  readonly microbatch: number;
  readonly records: readonly DataRecord[];
}

interface Window {
  /** Places of the records in their order. */
  readonly records: readonly DataRecord[];
  readonly predicted: Map<number, PredictedRecord>;
}

interface Started extends PredictionTask {
  readonly window: Window;
  readonly workerId: string;
}

/** Windows that are read and not yet given out. */
const windowsMax = 4;
/** Microbatches that one worker has and has not reported: one computes, the others are tokenised meanwhile. */
const aheadMax = 4;

/** Deals records out and puts results in order. */
export class PredictionWork {
  readonly #source: AsyncIterator<readonly DataRecord[]>;
  readonly #microbatchSize: number;
  readonly #windows: Window[] = [];
  readonly #waiting: { readonly window: Window; readonly records: readonly DataRecord[] }[] = [];
  readonly #started = new Map<number, Started>();
  readonly #sleepers = new Set<() => void>();
  #count = 0;
  #reading = false;
  #ended = false;
  #failure: { readonly error: unknown } | null = null;

  constructor(source: AsyncIterable<readonly DataRecord[]>, microbatchSize: number) {
    this.#source = source[Symbol.asyncIterator]();
    this.#microbatchSize = microbatchSize;
  }

  /** The next microbatch for a worker, once there is one and the worker has room; null after the last. */
  async next(workerId: string, signal: AbortSignal): Promise<PredictionTask | null> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      if (this.#isAhead(workerId)) {
        await this.#change(signal);
        continue;
      }
      const waiting = this.#waiting.shift();
      if (waiting !== undefined) {
        const task = { ...waiting, microbatch: this.#count++, workerId };
        this.#started.set(task.microbatch, task);
        return task;
      }
      if (this.#ended) return null;
      if (!this.#reading && this.#windows.length < windowsMax) await this.#read();
      else await this.#change(signal);
    }
  }

  /** Takes a worker's result. Throws for one that was not dealt or does not fit. */
  report(result: EvaluatedMicrobatch): void {
    const started = this.#started.get(result.microbatch);
    const logits = logitsOf(result);
    const { columns } = result;
    if (started === undefined || logits.length !== started.records.length * columns) {
      throw new Error(`Cannot use the result of microbatch ${result.microbatch}: it does not fit`);
    }
    for (const [row, { index }] of started.records.entries()) {
      const sums = row === 0 ? result : { lossSum: 0, weight: 0 };
      started.window.predicted.set(index, {
        index,
        logits: logits.subarray(row * columns, (row + 1) * columns),
        lossSum: sums.lossSum,
        weight: sums.weight,
      });
    }
    this.#started.delete(result.microbatch);
    this.#wake();
  }

  /** Ends everything with an error. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    this.#wake();
  }

  /** The results in the order of the records. */
  async *results(signal: AbortSignal): AsyncGenerator<PredictedRecord> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      const window = this.#windows[0];
      if (window === undefined && this.#ended) return;
      if (window === undefined || window.predicted.size < window.records.length) {
        await this.#change(signal);
        continue;
      }
      for (const { index } of window.records) {
        const predicted = window.predicted.get(index);
        if (predicted !== undefined) yield predicted;
      }
      this.#windows.shift();
      this.#wake();
    }
  }

  async #read(): Promise<void> {
    this.#reading = true;
    try {
      const { value, done } = await this.#source.next();
      if (done === true) this.#ended = true;
      else if (value.length > 0) this.#cut(value);
    } catch (error) {
      this.fail(error);
    } finally {
      this.#reading = false;
      this.#wake();
    }
  }

  #cut(records: readonly DataRecord[]): void {
    const window: Window = { records, predicted: new Map() };
    this.#windows.push(window);
    const lengthOf = ({ text, textPair }: DataRecord): number =>
      text.length + (textPair?.length ?? 0);
    const sorted = records.toSorted((left, right) => lengthOf(right) - lengthOf(left));
    for (let start = 0; start < sorted.length; start += this.#microbatchSize) {
      this.#waiting.push({ window, records: sorted.slice(start, start + this.#microbatchSize) });
    }
  }

  #isAhead(workerId: string): boolean {
    let own = 0;
    for (const started of this.#started.values()) if (started.workerId === workerId) own++;
    return own >= aheadMax;
  }

  #wake(): void {
    for (const wake of this.#sleepers) wake();
  }

  #change(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const settle = (): void => {
        this.#sleepers.delete(settle);
        signal.removeEventListener("abort", settle);
        if (signal.aborted) reject(signal.reason as Error);
        else resolve();
      };
      this.#sleepers.add(settle);
      signal.addEventListener("abort", settle, { once: true });
      if (signal.aborted) settle();
    });
  }
}
