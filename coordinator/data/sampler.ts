/**
 * Which samples make up each global batch of an epoch: a pure function of (seed, epoch, sizes), independent of the number
 * of workers. A batch is a list of microbatches, a microbatch a list of sample indices; each sample occurs exactly once
 * an epoch, and the last batch may be short.
 *
 * Without lengths a batch is the next `trainBatchSize` values of the epoch's permutation. With lengths, as HF's
 * `group_by_length` does, the permutation is cut into windows of up to 50 batches; within a window samples are sorted
 * by length, cut into batches, and the batches shuffled, but for the first window's longest batch, which comes first:
 * what does not fit into memory is known at the first step. Only one window is in memory.
 */
import { permutation } from "./permutation.ts";

/** What decides an epoch's order. */
export interface EpochOptions {
  /** Samples in the data set; 0 gives no batches. */
  readonly size: number;
  /** The job's seed, a non-negative integer. */
  readonly seed: number;
  /** From 0. */
  readonly epoch: number;
  /** Samples of a global batch. */
  readonly trainBatchSize: number;
  /** Samples of a microbatch; the last one of a batch may be smaller. */
  readonly microbatchSize: number;
  /** A sample's length in any unit, the same at each call; with it batches hold samples of like length. */
  readonly lengthOf?: (index: number) => number;
}

/** The batches of an epoch, made as they are asked for. */
export interface EpochPlan {
  readonly batchCount: number;
  /** Batch `batchIndex` as microbatches of sample indices. */
  batch(batchIndex: number): readonly (readonly number[])[];
}

const windowBatchesMax = 50;
/** HF's rule: at least four windows in an epoch, so that small data sets are shuffled too. */
const windowsMin = 4;
/** What a key is for, as its last part. */
const purposes = { epoch: 1, window: 2, shortBatch: 3 } as const;

function checkOptions(options: EpochOptions): void {
  const { size, seed, epoch, trainBatchSize, microbatchSize } = options;
  for (const [name, value, least] of [
    ["size", size, 0],
    ["seed", seed, 0],
    ["epoch", epoch, 0],
    ["trainBatchSize", trainBatchSize, 1],
    ["microbatchSize", microbatchSize, 1],
  ] as const) {
    if (!Number.isSafeInteger(value) || value < least) {
      throw new RangeError(`Cannot plan an epoch with this '${name}': current value is ${value}`);
    }
  }
}

/** A list cut into pieces of `pieceSize`, the last one shorter where it does not go up. */
function cut(samples: readonly number[], pieceSize: number): readonly (readonly number[])[] {
  const pieces: (readonly number[])[] = [];
  for (let start = 0; start < samples.length; start += pieceSize) {
    pieces.push(samples.slice(start, start + pieceSize));
  }
  return pieces;
}

/** Longest first; samples of equal length keep their order. */
function sortByLength(samples: readonly number[], lengthOf: (index: number) => number): number[] {
  return samples
    .map((sample, place) => ({ sample, place, length: lengthOf(sample) }))
    .sort((left, right) => right.length - left.length || left.place - right.place)
    .map(({ sample }) => sample);
}

/**
 * Sorted samples cut into batches, in shuffled order. A short batch comes last whatever its samples' length, and is
 * taken from a place of the sorted list that is drawn too, so that it is not always the shortest samples.
 */
function shuffledBatches(
  sorted: readonly number[],
  batchSize: number,
  { key, isFirst }: { readonly key: readonly number[]; readonly isFirst: boolean },
): readonly (readonly number[])[] {
  const batchCount = Math.ceil(sorted.length / batchSize);
  const shortSize = sorted.length - (batchCount - 1) * batchSize;
  const shortSlot =
    shortSize === batchSize
      ? batchCount
      : permutation(batchCount, [...key, purposes.shortBatch])(batchCount - 1);
  const before = sorted.slice(0, shortSlot * batchSize);
  const short = sorted.slice(
    before.length,
    before.length + (shortSlot < batchCount ? shortSize : 0),
  );
  const after = sorted.slice(before.length + short.length);
  const full = [...cut(before, batchSize), ...cut(after, batchSize)];
  const shuffle = permutation(full.length, [...key, purposes.window]);
  const order = full.map((_, slot) => shuffle(slot));
  if (isFirst) order.sort((left, right) => Number(right === 0) - Number(left === 0));
  const batches = order.map((slot) => full[slot] ?? []);
  return short.length === 0 ? batches : [...batches, short];
}

/** The order of one epoch. Throws RangeError on sizes that are no counts. */
export function planEpoch(options: EpochOptions): EpochPlan {
  checkOptions(options);
  const { size, seed, epoch, trainBatchSize, microbatchSize, lengthOf } = options;
  const batchCount = Math.ceil(size / trainBatchSize);
  const order = permutation(size, [seed, epoch, purposes.epoch]);
  const windowBatches =
    lengthOf === undefined
      ? 1
      : Math.max(1, Math.min(windowBatchesMax, Math.floor(size / (windowsMin * trainBatchSize))));
  const windowSize = windowBatches * trainBatchSize;
  let cached: { window: number; batches: readonly (readonly number[])[] } | null = null;

  function batchesOf(window: number): readonly (readonly number[])[] {
    if (cached?.window === window) return cached.batches;
    const start = window * windowSize;
    const samples = Array.from({ length: Math.min(windowSize, size - start) }, (_, place) =>
      order(start + place),
    );
    const batches =
      lengthOf === undefined
        ? [samples]
        : shuffledBatches(sortByLength(samples, lengthOf), trainBatchSize, {
            key: [seed, epoch, window],
            isFirst: window === 0,
          });
    cached = { window, batches };
    return batches;
  }

  return {
    batchCount,
    batch(batchIndex) {
      if (!Number.isInteger(batchIndex) || batchIndex < 0 || batchIndex >= batchCount) {
        throw new RangeError(
          `Cannot give a batch of ${batchCount} as 'batchIndex': current value is ${batchIndex}`,
        );
      }
      const window = Math.floor(batchIndex / windowBatches);
      const samples = batchesOf(window)[batchIndex - window * windowBatches] ?? [];
      return cut(samples, microbatchSize);
    },
  };
}

/** What decides the order of an evaluation. */
export interface EvaluationOptions {
  readonly size: number;
  readonly microbatchSize: number;
  /** With it microbatches hold samples of like length. */
  readonly lengthOf?: (index: number) => number;
}

/** The microbatches of an evaluation; each sample counts once. */
export interface EvaluationPlan {
  readonly microbatchCount: number;
  microbatch(microbatchIndex: number): readonly number[];
}

const evaluationWindowMicrobatches = 64;

/** The data in its own order, sorted by length within windows when lengths are given. */
export function planEvaluation(options: EvaluationOptions): EvaluationPlan {
  const { size, microbatchSize, lengthOf } = options;
  const windowSize = microbatchSize * evaluationWindowMicrobatches;
  let cached: { window: number; microbatches: readonly (readonly number[])[] } | null = null;
  function microbatchesOf(window: number): readonly (readonly number[])[] {
    if (cached?.window === window) return cached.microbatches;
    const start = window * windowSize;
    const samples = Array.from(
      { length: Math.min(windowSize, size - start) },
      (_, place) => start + place,
    );
    const sorted = lengthOf === undefined ? samples : sortByLength(samples, lengthOf);
    cached = { window, microbatches: cut(sorted, microbatchSize) };
    return cached.microbatches;
  }
  return {
    microbatchCount: Math.ceil(size / microbatchSize),
    microbatch(microbatchIndex) {
      const window = Math.floor(microbatchIndex / evaluationWindowMicrobatches);
      return microbatchesOf(window)[microbatchIndex - window * evaluationWindowMicrobatches] ?? [];
    },
  };
}
