/** Who makes which blocks of a sum: shares of about as many elements, in runs of blocks that are made at a time. */
import type { Grid } from "./kernels.ts";

/** Blocks `[first, end)`. */
export interface Blocks {
  readonly first: number;
  readonly end: number;
}

/** The first of the blocks `[from, to]` that begins at `element` or behind it. */
function blockAt(bounds: Uint32Array, element: number, [from, to]: readonly [number, number]) {
  let [low, high] = [from, to];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((bounds[middle] ?? 0) < element) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Cuts blocks into runs of at most so many elements; a block that is longer is a run of its own. */
export function cutRuns(
  bounds: Uint32Array,
  { first, end }: Blocks,
  elementsMax: number,
): Blocks[] {
  const runs: Blocks[] = [];
  for (let from = first; from < end;) {
    const beyond = blockAt(bounds, (bounds[from] ?? 0) + elementsMax + 1, [from, end + 1]);
    const to = Math.min(end, Math.max(from + 1, beyond - 1));
    runs.push({ first: from, end: to });
    from = to;
  }
  return runs;
}

/** Who makes which blocks: shares of about as many elements, each in runs of at most `elementsMax`. Pure. */
export function cutShares(
  bounds: Uint32Array,
  { first, end }: Blocks,
  { rankCount, elementsMax }: { readonly rankCount: number; readonly elementsMax: number },
): { readonly shares: readonly Blocks[]; readonly rounds: readonly (readonly Blocks[])[] } {
  const [start = 0, stop = 0] = [bounds[first], bounds[end]];
  const cut = (rank: number): number =>
    blockAt(bounds, start + Math.round(((stop - start) * rank) / rankCount), [first, end]);
  const shares = Array.from({ length: rankCount }, (_, rank) => ({
    first: cut(rank),
    end: cut(rank + 1),
  }));
  const runs = shares.map((share) => cutRuns(bounds, share, elementsMax));
  const roundCount = Math.max(...runs.map((ofRank) => ofRank.length));
  const rounds = Array.from({ length: roundCount }, (_, round) =>
    runs.map((ofRank, rank) => {
      const none = shares[rank]?.end ?? end;
      return ofRank[round] ?? { first: none, end: none };
    }),
  );
  return { shares, rounds };
}

/** The bytes of a view. */
export function bytesOf(view: Float32Array | Float64Array | Int32Array): Uint8Array {
  return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
}

/** The squares of shares, as parts by rank. */
export function squaresOf(
  shares: readonly Blocks[],
  { squares }: Pick<Grid, "squares">,
): readonly Uint8Array[] {
  return shares.map(({ first, end }) => bytesOf(squares.subarray(first, end)));
}

/** Makes the squares of a share's blocks that are not filled 0. */
export function clearSquares(
  { first, end }: Blocks,
  { filled, squares }: Pick<Grid, "filled" | "squares">,
): void {
  for (let block = first; block < end; block++) if (filled[block] !== 1) squares[block] = 0;
}
