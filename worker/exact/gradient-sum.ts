/** What a step asks of whoever adds up its microbatches: exactly (`exact-sum.ts`), or as floats (`float-sum.ts`). */
import type { Bucket } from "./buckets.ts";
import type { ExactRing } from "./group-sum.ts";
import type { Ownership } from "./ownership.ts";
import type { Piece } from "./pieces.ts";
import type { SumProof } from "./sum-proof.ts";
import type { TouchedRows } from "./slots.ts";

/** What a sum needs of a ring. */
export interface SumRing extends ExactRing {
  /** Sums floats over all ranks, in place; the same bits on all, which depend on the number of ranks. */
  sumFloats(vector: Float32Array, signal: AbortSignal): Promise<void>;
}

/** A group that is being added. */
export interface OpenGroup {
  /**
   * Adds a bucket. Its parts must be in all slots that this worker fills, and for the last bucket everything. All ranks add
   * the same buckets in the same order, each once.
   */
  add(bucket: Bucket, ring: SumRing, signal: AbortSignal): Promise<void>;
}

/** The sum of a step's microbatches over all workers. For each step: `begin`, `openGroup` for every group, `finish`. */
export interface GradientSum {
  /** The sum over the global batch once it is finished; shared with the engine's thread. */
  readonly vector: Float32Array;
  /** The vector in pieces, in order (`cutPieces`). */
  readonly pieces: readonly Piece[];
  /** How many parts are gradients: buffers, loss and weight follow them. */
  readonly gradientParts: number;
  /**
   * The bytes by which two sums of this form are told apart, of one piece: all of it; of a row part the numbers of its blocks
   * that are not zero, then those blocks.
   */
  bytesOf(piece: number): readonly Uint8Array[];
  /** Σ x² of a piece of the gradient, once the sum is finished. */
  squaresOf(piece: number): number;
  /** The groups of a step of this many microbatches, as `[first, end)`. */
  groups(microbatchCount: number): readonly (readonly [number, number])[];
  /** Where the engine writes the vector of this worker's k-th microbatch of a group. */
  slot(k: number): Float32Array;
  /** Says which rows the k-th slot's vector has, by row part; not needed where there are none. */
  touch(k: number, touched: readonly TouchedRows[]): void;
  /** Says by which key the k-th slot's values are rounded (`roundingKey`); not needed where nothing is rounded at random. */
  roundBy(k: number, key: number): void;
  /**
   * Begins a step; one that was not committed is forgotten. Until here the slots may have been filled.
   * @param isAlone whether there are no other ranks, and one group: nobody will ask for the sum of the step before
   */
  begin(isAlone: boolean): void;
  /**
   * What can be added by itself, in order; about `count` buckets, or one where there is no use in more.
   * @param microbatches of a step over all ranks
   */
  buckets(count: number, microbatches: number): readonly Bucket[];
  /**
   * Begins to add a group's microbatches; the group before must have been added whole.
   * @param held how many slots this worker fills
   * @param groupCount microbatches of the group over all ranks
   * @param ownership who is to end with what of the gradient; null, and where `scatters` is false, every rank has all
   */
  openGroup(held: number, groupCount: number, ownership: Ownership | null): OpenGroup;
  /** Whether it can leave each rank with its own part alone. */
  readonly scatters: boolean;
  /** By what all ranks can tell whether owners' parts of the step's sum are right; null where every rank has all. */
  readonly proof: SumProof | null;
  /** Completes `vector` after the last group. */
  finish(ring: SumRing, signal: AbortSignal): Promise<void>;
  /** The step whose sum `vector` holds is committed. */
  commit(step: number): void;
  /** Something else has been written to `vector`: it holds no sum any more. */
  overwritten(): void;
}
