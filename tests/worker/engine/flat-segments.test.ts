/** Segments cover every tensor once, begin and end at 64 bytes, and a tensor that does so is a segment of its own. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { cutSegments } from "../../../worker/engine/flat-segments.ts";
import {
  alignedLength,
  alignedView,
  allocateShared,
} from "../../../worker/engine/shared-vector.ts";

describe("cutSegments", () => {
  it("covers all tensors, aligned", () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 70 }), { maxLength: 30 }), (sizes) => {
        const segments = cutSegments(sizes);
        let tensor = 0;
        let offset = 0;
        for (const segment of segments) {
          assert.equal(segment.first, tensor);
          assert.equal(segment.offset, offset);
          assert.equal(segment.size % 16, 0);
          const held = sizes.slice(segment.first, segment.end).reduce((sum, size) => sum + size, 0);
          assert.equal(segment.size, held + segment.padding);
          tensor = segment.end;
          offset += segment.size;
        }
        assert.equal(tensor, sizes.length);
        const length = sizes.reduce((sum, size) => sum + size, 0);
        assert.equal(offset, alignedLength(length));
        assert.ok(segments.slice(0, -1).every(({ padding }) => padding === 0));
      }),
    );
  });

  it("joins only what ends between two places", () => {
    const ends = cutSegments([32, 3, 13, 64, 2, 1, 1]).map(({ first, end }) => [first, end]);
    assert.deepEqual(ends, [
      [0, 1],
      [1, 3],
      [3, 4],
      [4, 7],
    ]);
  });
});

describe("alignedView", () => {
  it("reaches to the next 64 bytes of a shared vector", () => {
    assert.equal(alignedView(allocateShared(17))?.length, 32);
    assert.equal(alignedView(allocateShared(16))?.length, 16);
  });

  it("refuses what starts elsewhere or has no room behind it", () => {
    const { buffer } = allocateShared(32);
    assert.equal(alignedView(new Float32Array(buffer, 4, 8)), null);
    assert.equal(alignedView(new Float32Array(17)), null);
  });
});
