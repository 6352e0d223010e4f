/**
 * Exact sums in a ring of any size: a share of the blocks has one owner, and what all ranks have of it is carried round to him.
 * Each rank on the way adds its own integers to those that arrive, in the same pass that makes them of its floats; the owner's
 * pass scales the sum back at once. Then the sums go round, as floats.
 *
 * So a rank's integers are never written only to be read again, and a sum is scaled back by its owner alone. The arithmetic is
 * that of `group-sum.ts`, so the bits are the same; so are the bytes that travel, but for blocks that are zero, which travel too.
 */
import { copyBytes } from "./arena.ts";
import { bytesOf, clearSquares, cutRuns, cutShares, squaresOf, type Blocks } from "./cut-shares.ts";
import type { Grid, Run } from "./kernels.ts";
import type { OwnerGround } from "./owner-sums.ts";
import type { Segment } from "../ring/segments.ts";

/** What is added up on the way, said so that it can be done elsewhere than in `Carried.add`. All views are of one memory. */
export interface CarriedSum {
  readonly run: Run;
  readonly grid: Grid;
  /** Of a magnitude. */
  readonly bits: number;
  readonly vector: Float32Array;
  /** Where integers lie on their way. */
  readonly integers: Int32Array;
  /** Blocks by round and owner. */
  readonly rounds: readonly (readonly Blocks[])[];
  /** Those of this rank. */
  readonly own: Blocks;
}

/** A vector that is made round the ring. */
export interface Carried {
  /** Which bytes each owner has in each round, by rank, `pieceBytes` at most; the same on all ranks. */
  readonly rounds: readonly (readonly Segment[])[];
  /** What is on its way; laid out as `target` is. */
  readonly carried: Uint8Array;
  /** The others' bytes of it may be used by what is on its way to them, until theirs are there. */
  readonly target: Uint8Array;
  /**
   * Puts what this rank has of an owner's bytes of a round, and what has arrived of them, to `carried`; of its own bytes, where all
   * ranks have added something by then, the result to `target`.
   * @param arrived in its place in `target`, or elsewhere; null where this rank is the first
   */
  add(round: number, owner: number, arrived: Uint8Array | null): void;
  /** What each owner tells besides, by rank, of sizes that all know; the others' are filled in place. */
  readonly told: readonly Uint8Array[];
  /** All of this rank's own bytes are made: what it tells is to be complete. Not called where it has none. */
  made(): void;
  /** The same as `add` and `made`, for who can do without them; null where there is nothing but those. */
  readonly sum: CarriedSum | null;
}

/** What ranks can do beyond the collectives where each reaches its neighbours only. */
export interface CarryingRing {
  readonly rank: number;
  readonly rankCount: number;
  /** Bytes that travel at a time, at most, where so many are reduced in all. */
  pieceBytes(bytes: number): number;
  /** Has every owner end with what all ranks have, and every rank with what all owners have and tell. */
  carry(carried: Carried, signal: AbortSignal): Promise<void>;
}

function integersOf({ buffer, byteOffset, byteLength }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, byteLength / Int32Array.BYTES_PER_ELEMENT);
}

/**
 * Adds the sum of a run over all ranks to the vector; it has one source at least, and its blocks follow one another.
 * Their exponents have been agreed on, and are 0 afterwards: no integers of them are left. Their places, and the first source's
 * memory, are used. `filled` and `squares` end as if every rank had made all of it.
 */
export async function sumByCarrying(
  run: Run,
  ground: OwnerGround,
  ring: CarryingRing,
  signal: AbortSignal,
): Promise<void> {
  const { kernels, grid, vector, scratch, bits } = ground;
  const { bounds, filled, exponents, places } = grid;
  const { rank, rankCount } = ring;
  const first = run.blocks[0] ?? 0;
  const end = first + run.blocks.length;
  const [start = 0, stop = 0] = [bounds[first], bounds[end]];
  const [source] = run.sources;
  if (source === undefined)
    throw new RangeError("Cannot carry a sum as this rank has nothing of it");
  for (let block = first; block < end; block++) places[block] = (bounds[block] ?? 0) - start;
  const integers = new Int32Array(source.buffer, source.byteOffset, stop - start);
  const elementsMax = Math.floor(ring.pieceBytes((stop - start) * 4) / 4);
  const { shares, rounds } = cutShares(bounds, { first, end }, { rankCount, elementsMax });
  const own = shares[rank] ?? { first: end, end };
  const elementOf = (block: number): number => (bounds[block] ?? 0) - start;

  const addChunk = (chunk: Blocks, isOwn: boolean, others: Int32Array | null): void => {
    const part: Run = {
      sources: run.sources.map((source) => source.subarray(elementOf(chunk.first))),
      keys: null,
      blocks: run.blocks.subarray(chunk.first - first, chunk.end - first),
    };
    if (isOwn) kernels.sumAlone(vector, part, { grid, bits, others });
    else kernels.quantise(integers, part, { grid, bits, add: false, others });
  };

  await ring.carry(
    {
      carried: bytesOf(integers),
      target: bytesOf(vector.subarray(start, stop)),
      rounds: rounds.map((round) =>
        round.map((blocks) => ({
          start: elementOf(blocks.first) * 4,
          end: elementOf(blocks.end) * 4,
        })),
      ),
      add: (round, owner, arrived) => {
        const piece = rounds[round]?.[owner];
        if (piece === undefined) return;
        if (arrived === null || arrived.buffer === scratch.buffer) {
          addChunk(piece, owner === rank, arrived && integersOf(arrived));
          return;
        }
        // Piece by piece: what has arrived comes by the kernels' own memory, which stays in a cache.
        for (const chunk of cutRuns(bounds, piece, Math.floor(scratch.byteLength / 4))) {
          const elements = elementOf(chunk.end) - elementOf(chunk.first);
          const others = new Int32Array(scratch.buffer, scratch.byteOffset, elements);
          const offset = (elementOf(chunk.first) - elementOf(piece.first)) * 4;
          copyBytes(bytesOf(others), arrived.subarray(offset, offset + others.byteLength));
          addChunk(chunk, owner === rank, others);
        }
      },
      told: squaresOf(shares, grid),
      made: () => clearSquares(own, grid),
      sum: { run, grid, bits, vector, integers, rounds, own },
    },
    signal,
  );

  exponents.fill(0, first, end);
  for (const [owner, share] of shares.entries())
    if (owner !== rank) filled.fill(1, share.first, share.end);
}
