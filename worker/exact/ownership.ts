/**
 * Who owns what of a gradient where the optimiser's state is shared out: the vector is cut into regions, and each region into
 * one run of pieces per rank, so that whatever is reduced together is shared out evenly:
 *
 *   regions   [rows of a table]  [third bucket]  [second bucket]  [first bucket]  buffers, loss, weight
 *   ranks      0 · 1 · 2          0 · 1 · 2       0 · 1 · 2        0 · 1 · 2       all
 *
 * Pure. Sums, norm and hashes are put together of pieces, which do not depend on the number of ranks: no bit depends on who
 * owns what.
 */
import type { Share } from "../../foundation/parameters/shares.ts";
import { networkBuckets } from "../../foundation/gradient-buckets.ts";
import type { WireForm } from "../../foundation/gradient-wire.ts";
import { layOutBlocks, type RowPart } from "./block-layout.ts";
import { cutBuckets } from "./buckets.ts";
import { cutPieces, type Piece } from "./pieces.ts";

/** What one rank owns of a region: a run of pieces, and the same in blocks and in elements; ends are exclusive. */
export interface OwnedRun {
  readonly firstPiece: number;
  readonly endPiece: number;
  readonly firstBlock: number;
  readonly endBlock: number;
  readonly start: number;
  readonly end: number;
}

/** Elements that lie together and are dealt to all ranks. */
export interface Region {
  /** The first of its parts. */
  readonly part: number;
  /** Whether it is a part that comes by rows. */
  readonly byRows: boolean;
  /** By rank, in the order of the vector. */
  readonly runs: readonly OwnedRun[];
}

/** What a rank of a ring owns, and the others. */
export interface Ownership {
  readonly rank: number;
  readonly rankCount: number;
  readonly regions: readonly Region[];
}

/** What is dealt. */
export interface OwnedForm {
  /** Elements of the parts of the reduced vector. */
  readonly partSizes: readonly number[];
  readonly rowParts: readonly RowPart[];
  /** How many parts are gradients. */
  readonly gradientParts: number;
  readonly wire: WireForm;
  /** Buckets that somebody has asked for; null for as many as pay. */
  readonly buckets: number | null;
  /** Microbatches of a full global batch. */
  readonly microbatches: number;
}

/** Deals the gradient to ranks: the same for every rank of a ring, and for every step. */
export function dealRegions(form: OwnedForm, rankCount: number): readonly Region[] {
  const { partSizes, wire, gradientParts, microbatches } = form;
  const layout = layOutBlocks(partSizes, form.rowParts, wire);
  const rowParts = form.rowParts.filter(({ rows, capacity }) => capacity < rows);
  const pieces = cutPieces(layout, rowParts);
  const firstPieces = partSizes.map((_, part) => pieces.findIndex((piece) => piece.part === part));
  const elements = layout.bounds.at(-1) ?? 0;
  const count = networkBuckets(form.buckets, elements * Float32Array.BYTES_PER_ELEMENT);
  const deal = (part: number, endPart: number, byRows: boolean): Region => {
    const first = firstPieces[part] ?? pieces.length;
    const own = pieces.slice(first, firstPieces[endPart] ?? pieces.length);
    return { part, byRows, runs: dealPieces(own, { first, bounds: layout.bounds, rankCount }) };
  };
  const whole = cutBuckets({ partSizes, rowParts }, { count, microbatches }).flatMap((bucket) =>
    stretchesOf(bucket, { rowParts, gradientParts }).map(([first, end]) => deal(first, end, false)),
  );
  const rows = rowParts.map(({ part }) => deal(part, part + 1, true));
  return [...whole, ...rows].toSorted((one, other) => one.part - other.part);
}

/** Parts of a bucket that lie together, without those that come by rows, and without what all ranks have. */
function stretchesOf(
  { first, end }: { readonly first: number; readonly end: number },
  form: Pick<OwnedForm, "rowParts" | "gradientParts">,
): readonly (readonly [number, number])[] {
  const byRows = new Set(form.rowParts.map(({ part }) => part));
  const stretches: [number, number][] = [];
  for (let part = first; part < Math.min(end, form.gradientParts); part++) {
    if (byRows.has(part)) continue;
    const last = stretches.at(-1);
    if (last?.[1] === part) last[1] = part + 1;
    else stretches.push([part, part + 1]);
  }
  return stretches;
}

/** Cuts pieces that follow one another into a run for each rank, as equal as whole pieces allow. */
function dealPieces(
  pieces: readonly Piece[],
  {
    first,
    bounds,
    rankCount,
  }: { readonly first: number; readonly bounds: Uint32Array; readonly rankCount: number },
): readonly OwnedRun[] {
  const blockAt = (place: number): number =>
    pieces[place]?.firstBlock ?? pieces.at(-1)?.endBlock ?? 0;
  const elementAt = (place: number): number => bounds[blockAt(place)] ?? 0;
  const start = elementAt(0);
  const size = elementAt(pieces.length) - start;
  let place = 0;
  return Array.from({ length: rankCount }, (_, rank): OwnedRun => {
    const from = place;
    const target = start + (size * (rank + 1)) / rankCount;
    // The cut that is nearest to an equal share.
    while (
      place < pieces.length &&
      (rank === rankCount - 1 || (elementAt(place) + elementAt(place + 1)) / 2 <= target)
    )
      place += 1;
    return {
      firstPiece: first + from,
      endPiece: first + place,
      firstBlock: blockAt(from),
      endBlock: blockAt(place),
      start: elementAt(from),
      end: elementAt(place),
    };
  });
}

/** What a rank owns, as ranges of the vector. */
export function shareOf(regions: readonly Region[], rank: number): Share {
  const ranges: { start: number; end: number }[] = [];
  for (const { runs } of regions) {
    const { start = 0, end = 0 } = runs[rank] ?? {};
    const last = ranges.at(-1);
    if (end === start) continue;
    if (last?.end === start) last.end = end;
    else ranges.push({ start, end });
  }
  return ranges;
}

/** The pieces that a rank owns, in order. */
export function piecesOf(regions: readonly Region[], rank: number): readonly number[] {
  return regions.flatMap(({ runs }) => {
    const { firstPiece = 0, endPiece = 0 } = runs[rank] ?? {};
    return Array.from({ length: endPiece - firstPiece }, (_, index) => firstPiece + index);
  });
}
