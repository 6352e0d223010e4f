import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ringChunkBytes } from "../../../proto/limits.ts";
import { cutChunks } from "../../../worker/ring/ring-walk.ts";

const mebibyte = 1024 * 1024;

describe("cutChunks", () => {
  it("cuts into at least four where they are not too small, and into no larger ones than may be sent", () => {
    const countOf = (bytes: number): number => cutChunks(new Uint8Array(bytes)).length;
    assert.deepEqual([0, 1, mebibyte, mebibyte + 1].map(countOf), [0, 1, 1, 2]);
    assert.deepEqual([4 * mebibyte, 10 * mebibyte + 4].map(countOf), [4, 4]);
    assert.equal(countOf(40 * mebibyte), 10);
  });
  it("covers the whole in order, with chunks that begin at whole elements", () => {
    const whole = new Uint8Array(33 * mebibyte + 20);
    let end = 0;
    for (const { offset, data } of cutChunks(whole)) {
      assert.equal(offset, end);
      assert.equal(offset % 64, 0);
      assert.equal(data.byteOffset, offset);
      assert.ok(data.byteLength <= ringChunkBytes);
      end += data.byteLength;
    }
    assert.equal(end, whole.byteLength);
  });
});
