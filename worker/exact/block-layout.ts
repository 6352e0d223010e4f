/** Cuts a vector into blocks that share an exponent. Pure. */

import { wireForms, type WireForm } from "../../foundation/gradient-wire.ts";

/** A part of the vector whose blocks are rows, because few rows of it are not zero. */
export interface RowPart {
  /** Place among the parts. */
  readonly part: number;
  /** Rows of the whole part. */
  readonly rows: number;
  /** Most rows that a microbatch gives; with as many as there are it gives the whole part. */
  readonly capacity: number;
}

/** The blocks of a vector. */
export interface BlockLayout {
  /** Block b is `[bounds[b], bounds[b + 1])`. */
  readonly bounds: Uint32Array;
  /** First block of each part, and after the last part the number of blocks. */
  readonly firstBlocks: readonly number[];
}

/**
 * Cuts a vector made of parts (tensors) of these sizes into blocks. No block crosses a part, nor a row of a row part.
 * Empty parts have no block.
 */
export function layOutBlocks(
  partSizes: readonly number[],
  rowParts: readonly RowPart[] = [],
  { blockElements }: Pick<WireForm, "blockElements"> = wireForms.int32,
): BlockLayout {
  const rowsOf = new Map(rowParts.map(({ part, rows }) => [part, rows]));
  const bounds: number[] = [];
  const firstBlocks: number[] = [];
  let start = 0;
  for (const [part, size] of partSizes.entries()) {
    firstBlocks.push(bounds.length);
    const rows = rowsOf.get(part) ?? 1;
    const rowSize = size / rows;
    if (!Number.isInteger(rowSize))
      throw new RangeError(`Cannot cut part ${part} of ${size} elements into ${rows} rows`);
    for (let row = 0; row < rows; row++) {
      for (let offset = 0; offset < rowSize; offset += blockElements) {
        bounds.push(start + row * rowSize + offset);
      }
    }
    start += size;
  }
  firstBlocks.push(bounds.length);
  bounds.push(start);
  return { bounds: Uint32Array.from(bounds), firstBlocks };
}

/**
 * Bits that a quantised magnitude may take so that M of them cannot leave an integer of w bits: ⌊log₂(⌊(2ʷ⁻¹ − 1)/M⌋ + 1)⌋.
 * @param microbatchCount M, at least 1
 * @param bits w
 */
export function magnitudeBits(microbatchCount: number, bits: WireForm["bits"] = 32): number {
  const limit = Math.floor((2 ** (bits - 1) - 1) / microbatchCount);
  return Math.floor(Math.log2(limit + 1));
}

/**
 * Cuts the microbatches of a global batch into groups of `size`: the same ones whatever the number of workers.
 * @returns `[first, end)` of each group
 */
export function microbatchGroups(
  count: number,
  size: number,
): readonly (readonly [number, number])[] {
  const groups: [number, number][] = [];
  for (let first = 0; first < count; first += size) {
    groups.push([first, Math.min(first + size, count)]);
  }
  return groups;
}
