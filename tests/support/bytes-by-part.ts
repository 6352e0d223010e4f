/** What a sum's parts are hashed by, where none is so large that it has several pieces. */
import assert from "node:assert/strict";
import { wireForms, type GradientWire } from "../../foundation/gradient-wire.ts";
import type { GradientSum } from "../../worker/exact/gradient-sum.ts";

/** The bytes of each part, in order. */
export function bytesByPart(
  sum: Pick<GradientSum, "pieces" | "bytesOf">,
): readonly (readonly Uint8Array[])[] {
  return sum.pieces.map(({ part }, index) => {
    assert.equal(part, index, "a part has one piece");
    return sum.bytesOf(index);
  });
}

/** Parts of a vector, and which of them come by rows of how many elements. */
export interface PartForm {
  readonly partSizes: readonly number[];
  readonly tables: readonly { readonly part: number; readonly size: number }[];
}

/** The vector that the parts' bytes tell of: blocks that are not named are zero. */
export function vectorOfPieces(
  parts: readonly (readonly Uint8Array[])[],
  { partSizes, tables }: PartForm,
  wire: GradientWire,
): Float32Array {
  const { blockElements } = wireForms[wire];
  const floats = (bytes: Uint8Array) => new Float32Array(new Uint8Array(bytes).buffer);
  const vector = new Float32Array(partSizes.reduce((sum, size) => sum + size, 0));
  let offset = 0;
  for (const [part, pieces] of parts.entries()) {
    const table = tables.find((one) => one.part === part);
    if (table === undefined) vector.set(floats(Buffer.concat(pieces)), offset);
    else {
      const [numbers, ...blocks] = pieces;
      const perRow = Math.ceil(table.size / blockElements);
      for (const [index, block] of new Uint32Array(numbers!.slice().buffer).entries()) {
        const row = Math.floor(block / perRow) * table.size;
        const within = (block % perRow) * blockElements;
        vector.set(floats(blocks[index]!), offset + row + within);
      }
    }
    offset += partSizes[part] ?? 0;
  }
  return vector;
}
