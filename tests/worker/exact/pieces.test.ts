/** Pieces cover a vector once, in order, with whole blocks and whole rows, and are of about the same size. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { wireForms } from "../../../foundation/gradient-wire.ts";
import { layOutBlocks } from "../../../worker/exact/block-layout.ts";
import { cutPieces } from "../../../worker/exact/pieces.ts";

const most = 32_768;

describe("cutPieces", () => {
  it("covers all blocks of every part once, in order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 6 }),
        fc.integer({ min: 1, max: 900 }),
        fc.integer({ min: 1, max: 3000 }),
        fc.constantFrom("int32" as const, "int8-block" as const),
        (sizes, rows, rowSize, wire) => {
          const rowParts = [{ part: 0, rows, capacity: 1 }];
          const partSizes = [rows * rowSize, ...sizes];
          const layout = layOutBlocks(partSizes, rowParts, wireForms[wire]);
          const pieces = cutPieces(layout, rowParts);
          let next = 0;
          for (const { part, firstBlock, endBlock } of pieces) {
            assert.equal(firstBlock, next);
            assert.ok(firstBlock >= layout.firstBlocks[part]!);
            assert.ok(endBlock <= layout.firstBlocks[part + 1]!);
            const size = layout.bounds[endBlock]! - layout.bounds[firstBlock]!;
            assert.ok(size <= Math.max(most, part === 0 ? rowSize : 0));
            if (part === 0) assert.equal(size % rowSize, 0);
            next = endBlock;
          }
          assert.equal(next, layout.bounds.length - 1);
          const parts = new Set(pieces.map(({ part }) => part));
          assert.equal(parts.size, partSizes.length, "a part without elements has a piece too");
          const least = partSizes.reduce((sum, size) => sum + Math.ceil(size / most), 0);
          assert.ok(pieces.length <= 2 * least + partSizes.length);
        },
      ),
    );
  });
});
