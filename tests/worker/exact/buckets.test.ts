/** Buckets hold every part once, from the vector's end, and none of them is much larger than it has to be. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { bucketCount, cutBuckets } from "../../../worker/exact/buckets.ts";

/** Cuts parts, some of which come by rows: of each as many elements as are said. */
function cut(
  partSizes: readonly number[],
  byRows: Readonly<Record<number, number>>,
  count: number,
) {
  const rowParts = Object.entries(byRows).map(([part, elements]) => ({
    part: Number(part),
    rows: Math.max(1, partSizes[Number(part)]!),
    capacity: elements,
  }));
  return cutBuckets({ partSizes, rowParts }, { count, microbatches: 1 });
}

describe("cutBuckets", () => {
  it("cuts from the end at parts, rows left to the last one", () => {
    assert.deepEqual(cut([900, 10, 10, 10, 10, 1, 1], { 0: 0 }, 4), [
      { first: 4, end: 7, isLast: false },
      { first: 3, end: 4, isLast: false },
      { first: 2, end: 3, isLast: false },
      { first: 0, end: 2, isLast: true },
    ]);
    assert.deepEqual(cut([900, 10, 10], { 0: 0 }, 1), [{ first: 0, end: 3, isLast: true }]);
  });

  it("leaves less to the last one where that has many rows", () => {
    assert.deepEqual(cut([900, 10, 10, 10], { 0: 15 }, 3), [
      { first: 3, end: 4, isLast: false },
      { first: 1, end: 3, isLast: false },
      { first: 0, end: 1, isLast: true },
    ]);
  });

  it("ends a bucket at a row part between whole ones", () => {
    assert.deepEqual(cut([10, 500, 10, 20], { 1: 0 }, 2), [
      { first: 3, end: 4, isLast: false },
      { first: 2, end: 3, isLast: false },
      { first: 0, end: 1, isLast: true },
    ]);
  });

  it("holds every whole part once, in about as many buckets as are wanted", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 30 }),
        fc.integer({ min: 1, max: 12 }),
        fc.array(fc.nat(29), { maxLength: 3 }),
        fc.nat(40),
        (sizes, count, byRows, rows) => {
          const parts = [...new Set(byRows)].filter((part) => part < sizes.length);
          const buckets = cut(sizes, Object.fromEntries(parts.map((part) => [part, rows])), count);
          assert.ok(buckets.length <= count + parts.length);
          assert.deepEqual(
            buckets.map(({ isLast }) => isLast),
            buckets.map((_, index) => index === buckets.length - 1),
          );
          const seen = sizes.map(() => 0);
          let before = sizes.length;
          for (const { first, end, isLast } of buckets) {
            assert.ok(first <= end && end <= before);
            before = first;
            for (let part = first; part < end; part++) {
              if (parts.includes(part)) assert.ok(isLast, `row part ${part}`);
              else seen[part]! += 1;
            }
          }
          for (const [part, times] of seen.entries()) {
            assert.equal(times, parts.includes(part) ? 0 : 1, `part ${part}`);
          }
          const whole = sizes.reduce(
            (sum, size, part) => sum + (parts.includes(part) ? 0 : size),
            0,
          );
          const { first, end } = buckets.at(-1)!;
          const left = sizes
            .slice(first, end)
            .reduce((sum, size, index) => sum + (parts.includes(first + index) ? 0 : size), 0);
          assert.ok(left <= whole / count + 50, `${left} of ${whole} left for the last`);
        },
      ),
    );
  });
});

describe("bucketCount", () => {
  const megabytes = (count: number): number => count * 1024 * 1024;

  it("is one where the cores are others' too", () => {
    assert.equal(bucketCount(null, { worldSize: 4, sharesHost: true }, megabytes(100)), 1);
  });

  it("is twelve for a worker that is alone, fewer for little, and whatever is said", () => {
    const ring = { worldSize: 1, sharesHost: true };
    assert.equal(bucketCount(null, ring, megabytes(100)), 12);
    assert.equal(bucketCount(null, ring, megabytes(2.5)), 2);
    assert.equal(bucketCount(2, ring, megabytes(100)), 2);
  });

  it("is eight over a network, fewer for little, and whatever is said", () => {
    const ring = { worldSize: 4, sharesHost: false };
    assert.equal(bucketCount(null, ring, megabytes(100)), 8);
    assert.equal(bucketCount(null, ring, megabytes(3.5)), 3);
    assert.equal(bucketCount(null, ring, 1000), 1);
    assert.equal(bucketCount(20, ring, 1000), 20);
    assert.equal(bucketCount(5, { ...ring, sharesHost: true }, 1000), 5);
  });
});
