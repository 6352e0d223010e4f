/**
 * Pieces: runs of whole blocks by which a vector is hashed, its norm is summed, and its parts are dealt to owners. They are the
 * same whatever the number of workers, so what is put together of them in their order is too. Pure.
 */
import type { BlockLayout, RowPart } from "./block-layout.ts";

/** Elements of a piece, about: 128 KiB, few enough for many owners, many enough to cost nothing each. */
const pieceElements = 32_768;

/** Blocks `[firstBlock, endBlock)` of one part; of a row part, whole rows. */
export interface Piece {
  readonly part: number;
  readonly firstBlock: number;
  readonly endBlock: number;
}

/**
 * Cuts a layout into pieces, in order; no piece crosses a part, and parts without blocks have one that is empty.
 * @param rowParts parts that were cut at their rows
 */
export function cutPieces(
  { bounds, firstBlocks }: BlockLayout,
  rowParts: readonly Pick<RowPart, "part" | "rows">[],
): readonly Piece[] {
  const rowsOf = new Map(rowParts.map(({ part, rows }) => [part, rows]));
  const pieces: Piece[] = [];
  for (let part = 0; part + 1 < firstBlocks.length; part++) {
    const [first = 0, end = 0] = [firstBlocks[part], firstBlocks[part + 1]];
    const size = (bounds[end] ?? 0) - (bounds[first] ?? 0);
    const rows = rowsOf.get(part) ?? 0;
    // What a piece is a multiple of: a row's blocks, or one block.
    const [unitBlocks, unitElements] =
      rows > 0 ? [(end - first) / rows, size / rows] : [1, firstSize(bounds, first)];
    const units = Math.max(1, Math.floor(pieceElements / Math.max(1, unitElements)));
    let at = first;
    do {
      const next = Math.min(end, at + units * unitBlocks);
      pieces.push({ part, firstBlock: at, endBlock: next });
      at = next;
    } while (at < end);
  }
  return pieces;
}

/** Elements of a block; the first of a part is its largest. */
function firstSize(bounds: Uint32Array, block: number): number {
  return (bounds[block + 1] ?? 0) - (bounds[block] ?? 0);
}

/** A piece by its number. Throws RangeError beyond the last one. */
export function pieceAt(pieces: readonly Piece[], index: number): Piece {
  const piece = pieces[index];
  if (piece === undefined) throw new RangeError(`Cannot find piece ${index} of ${pieces.length}`);
  return piece;
}
