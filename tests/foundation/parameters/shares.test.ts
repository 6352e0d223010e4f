/** A share alone lies in a vector that is hardly longer than its ranges, which begin at multiples of 64 bytes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { placeShare, shareLength, wholeShare } from "../../../foundation/parameters/shares.ts";

describe("placeShare", () => {
  it("lays ranges out at multiples of 16 elements", () => {
    const share = [
      { start: 3, end: 40 },
      { start: 41, end: 42 },
      { start: 100, end: 116 },
    ];
    assert.deepEqual(placeShare(share), [
      { start: 3, end: 40, at: 0 },
      { start: 41, end: 42, at: 48 },
      { start: 100, end: 116, at: 64 },
    ]);
    assert.equal(shareLength(share), 80);
  });

  it("leaves a whole vector as it is", () => {
    assert.equal(shareLength(wholeShare(37)), 37);
    assert.equal(shareLength(wholeShare(0)), 0);
    assert.deepEqual(placeShare(wholeShare(37)), [{ start: 0, end: 37, at: 0 }]);
  });
});
