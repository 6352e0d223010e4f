/** Memory that TensorFlow takes as it is, and memory that it would copy. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { alignedView, allocateShared } from "../../../worker/engine/shared-vector.ts";

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
