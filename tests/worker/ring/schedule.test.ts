import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ownedSegment, receivedSegment, sentSegment } from "../../../worker/ring/schedule.ts";
import { cutSegments } from "../../../worker/ring/segments.ts";

describe("cutSegments", () => {
  it("covers every element once, sizes differ by at most one, the first is the largest", () => {
    fc.assert(
      fc.property(fc.nat(100_000), fc.integer({ min: 1, max: 64 }), (length, count) => {
        const segments = cutSegments(length, count);
        assert.equal(segments.length, count);
        let next = 0;
        for (const { start, end } of segments) {
          assert.equal(start, next);
          next = end;
        }
        assert.equal(next, length);
        const sizes = segments.map(({ start, end }) => end - start);
        assert.equal(Math.max(...sizes), sizes[0]);
        assert.ok(Math.max(...sizes) - Math.min(...sizes) <= 1);
      }),
    );
  });
});

describe("schedule", () => {
  it("is the table of worker/ring/README.md for four ranks", () => {
    const table = [0, 1, 2, 3, 4, 5].map((hop) =>
      [0, 1, 2, 3].map((rank) => receivedSegment(rank, 4, hop)),
    );
    assert.deepEqual(table, [
      [3, 0, 1, 2],
      [2, 3, 0, 1],
      [1, 2, 3, 0],
      [0, 1, 2, 3],
      [3, 0, 1, 2],
      [2, 3, 0, 1],
    ]);
  });

  it("sends on at each hop what arrived at the one before, to a neighbour who expects it", () => {
    for (let count = 2; count <= 9; count++) {
      for (let rank = 0; rank < count; rank++) {
        for (let hop = 0; hop < 2 * (count - 1); hop++) {
          assert.equal(sentSegment(rank, count, hop + 1), receivedSegment(rank, count, hop));
          assert.equal(
            receivedSegment((rank + 1) % count, count, hop),
            sentSegment(rank, count, hop),
          );
        }
        assert.equal(receivedSegment(rank, count, count - 2), ownedSegment(rank, count));
      }
    }
  });
});
