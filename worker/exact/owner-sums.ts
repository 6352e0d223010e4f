/**
 * Exact sums where every rank reaches every other one directly (boards of one host's memory, or a ring of two): a share of the blocks has one owner, who reads all microbatches' floats of
 * it and makes exponents, integers and their sum scaled back in one pass over its processor's cache, as a rank that is alone does.
 * The others take the result. So exponents need not be agreed on, and neither integers nor sums pass through memory on their way.
 *
 * The arithmetic is that of integers that travel, so the bits are the same.
 */
import { bytesOf, clearSquares, cutRuns, cutShares, squaresOf, type Blocks } from "./cut-shares.ts";
import type { ExactKernels, Grid, Run } from "./kernels.ts";
import type { Segment } from "../ring/segments.ts";

/** Writes bytes of what another rank gives, those from `offset` of its part on, into `target`. */
export type ShownOperand = (target: Uint8Array, offset: number) => void;

/** A vector that is made share by share from what all ranks show. */
export interface Shares {
  /** What this rank gives, laid out as `target` is; null for nothing. */
  readonly operand: Uint8Array | null;
  /** Which ranks give something, by rank. */
  readonly givers: readonly boolean[];
  readonly target: Uint8Array;
  /** Which bytes of `target` each rank makes in each round, by rank, `pieceBytes` at most; the same on all of them. */
  readonly rounds: readonly (readonly Segment[])[];
  /** Makes this rank's bytes of a round in `target`. @param others what the other givers have of those bytes */
  make(round: number, others: readonly ShownOperand[]): void;
}

/** What ranks that reach each other directly can do beyond the collectives. */
export interface DirectReduction {
  readonly rank: number;
  readonly rankCount: number;
  /** Bytes that a rank is to show another in a round, at most, where so many are reduced in all. */
  pieceBytes(bytes: number): number;
  /** Has every rank make its shares and take the others'. */
  makeShares(shares: Shares, signal: AbortSignal): Promise<void>;
  /** Fills the other ranks' parts in place; the own one is given. */
  fillParts(parts: readonly Uint8Array[], signal: AbortSignal): Promise<void>;
}

/** What sums are made with. */
export interface OwnerGround {
  readonly kernels: ExactKernels;
  readonly grid: Grid;
  /** The step's sum. */
  readonly vector: Float32Array;
  /** Memory of the kernels' for the others' operands. */
  readonly scratch: Uint8Array;
  /** Bits of a magnitude. */
  readonly bits: number;
}

/** Bytes of the largest block: what is read of an operand at a time is no less. */
const blockBytesMax = 4096;

/** Whether what so many ranks give fits into the scratch memory. */
export function canBeOwned(rankCount: number, scratch: Uint8Array): boolean {
  return rankCount * blockBytesMax <= scratch.byteLength;
}

/**
 * Adds the sum of a run over all ranks to the vector; the run's blocks follow one another, and it has at most one source.
 * `filled` and `squares` end as if every rank had made all of it.
 * @param givers whether each rank has a source
 */
export async function sumByOwners(
  run: Run,
  ground: OwnerGround,
  { givers, direct }: { readonly givers: readonly boolean[]; readonly direct: DirectReduction },
  signal: AbortSignal,
): Promise<void> {
  const { kernels, grid, vector, scratch, bits } = ground;
  const { bounds, filled } = grid;
  const { rank, rankCount } = direct;
  const first = run.blocks[0] ?? 0;
  const end = first + run.blocks.length;
  const [start = 0, stop = 0] = [bounds[first], bounds[end]];
  const elementsMax = Math.floor(direct.pieceBytes((stop - start) * 4) / 4);
  const { shares, rounds } = cutShares(bounds, { first, end }, { rankCount, elementsMax });
  const chunkBytes = Math.floor(scratch.byteLength / rankCount / 64) * 64;
  const bytesAt = (block: number): number => ((bounds[block] ?? 0) - start) * 4;

  /** Makes some blocks of the sum. @param offset of their first byte in what the others show */
  const makeChunk = (chunk: Blocks, others: readonly ShownOperand[], offset: number): void => {
    const [from, to] = [bytesAt(chunk.first), bytesAt(chunk.end)];
    const read = others.map((operand, index) => {
      const bytes = scratch.subarray(index * chunkBytes, index * chunkBytes + to - from);
      operand(bytes, offset);
      return new Float32Array(bytes.buffer, bytes.byteOffset, (to - from) / 4);
    });
    const own = run.sources.map((source) => source.subarray(from / 4));
    const blocks = run.blocks.subarray(chunk.first - first, chunk.end - first);
    kernels.sumAlone(vector, { sources: [...own, ...read], keys: null, blocks }, { grid, bits });
  };

  const [source] = run.sources;
  await direct.makeShares(
    {
      operand: source === undefined ? null : bytesOf(source.subarray(0, stop - start)),
      givers,
      target: bytesOf(vector.subarray(start, stop)),
      rounds: rounds.map((round) =>
        round.map((blocks) => ({ start: bytesAt(blocks.first), end: bytesAt(blocks.end) })),
      ),
      make: (round, others) => {
        const piece = rounds[round]?.[rank];
        if (piece === undefined) return;
        for (const chunk of cutRuns(bounds, piece, chunkBytes / 4))
          makeChunk(chunk, others, bytesAt(chunk.first) - bytesAt(piece.first));
      },
    },
    signal,
  );

  for (const [of, share] of shares.entries()) {
    if (of === rank) clearSquares(share, grid);
    else filled.fill(1, share.first, share.end);
  }
  await direct.fillParts(squaresOf(shares, grid), signal);
}
