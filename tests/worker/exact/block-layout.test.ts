/** Blocks cover a vector once and cross no part, and microbatches fall into the same groups whatever deals them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { wireForms } from "../../../foundation/gradient-wire.ts";
import { layOutBlocks, microbatchGroups } from "../../../worker/exact/block-layout.ts";

describe("block layout", () => {
  it("covers all elements, crosses no part, and keeps to the limit", () => {
    fc.assert(
      fc.property(fc.array(fc.nat(5000), { maxLength: 12 }), (parts) => {
        const { bounds } = layOutBlocks(parts);
        const edges = new Set<number>([0]);
        parts.reduce((sum, size) => {
          edges.add(sum + size);
          return sum + size;
        }, 0);
        assert.equal(
          bounds.at(-1),
          parts.reduce((sum, size) => sum + size, 0),
        );
        for (let b = 0; b + 1 < bounds.length; b++) {
          assert.ok(
            bounds[b + 1]! - bounds[b]! <= wireForms.int32.blockElements &&
              bounds[b + 1]! > bounds[b]!,
          );
        }
        for (const edge of edges) assert.ok(bounds.includes(edge));
      }),
    );
  });

  it("cuts parts of rows at every row, and long rows further", () => {
    const rowParts = [{ part: 1, rows: 3, capacity: 2 }];
    const { bounds, firstBlocks } = layOutBlocks([5, 3 * 1500, 2], rowParts);
    assert.deepEqual([...bounds], [0, 5, 1029, 1505, 2529, 3005, 4029, 4505, 4507]);
    assert.deepEqual(firstBlocks, [0, 1, 7, 8]);
    assert.throws(() => layOutBlocks([5, 7], rowParts), /part 1 of 7 elements into 3 rows/);
  });

  it("cuts global batches into the same groups whatever deals them", () => {
    assert.deepEqual(microbatchGroups(4, 8), [[0, 4]]);
    assert.deepEqual(microbatchGroups(17, 8), [
      [0, 8],
      [8, 16],
      [16, 17],
    ]);
    assert.deepEqual(microbatchGroups(0, 8), []);
  });
});
