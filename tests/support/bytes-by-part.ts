/** What a sum's parts are hashed by, where none is so large that it has several pieces. */
import assert from "node:assert/strict";
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
