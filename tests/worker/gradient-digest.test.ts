/**
 * A digest that was taken bit by bit is the one that all at once would be; loss and weight have no hash, and buffers are no
 * part of the norm.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExactSum } from "../../worker/exact/exact-sum.ts";
import { wireForms } from "../../foundation/gradient-wire.ts";
import { GradientDigest } from "../../worker/gradient-digest.ts";
import { TensorHasher } from "../../worker/hashing/tensor-hasher.ts";
import { exactRingOver } from "../support/exact-ring.ts";
import { createMemoryRing } from "../../worker/ring/memory-link.ts";

const never = new AbortController().signal;
/** [rows | small | several pieces | small | buffer | loss | weight] */
const partSizes = [6 * 10, 50, 100_000, 7, 40, 1, 1];
const gradientParts = 4;
const length = partSizes.reduce((sum, size) => sum + size, 0);
const rowParts = [{ part: 0, rows: 6, capacity: 4 }];
const means = { hasher: new TensorHasher(), recorder: null, ownership: null };
const alone = { allGather: (own: Uint8Array) => Promise.resolve([own]) };

function makeSum(): ExactSum {
  const sum = new ExactSum(partSizes, 1, rowParts, {
    form: wireForms.int32,
    wideFrom: gradientParts,
  });
  sum.begin();
  sum.slot(0).set(Float32Array.from({ length: length - 20 }, (_, i) => Math.sin(i)));
  sum.touch(0, [{ rows: Int32Array.of(1, 4), room: 4 }]);
  return sum;
}

function ringOfOne() {
  const [link] = createMemoryRing(1);
  return exactRingOver({ rank: 0, rankCount: 1, link: link!, collective: 0 });
}

describe("GradientDigest", () => {
  it("is the same whenever it is taken", async () => {
    const sum = makeSum();
    const early = new GradientDigest(sum, means);
    const group = sum.openGroup(1, 1);
    for (const bucket of sum.buckets(3, 1)) {
      await group.add(bucket, ringOfOne(), never);
      if (!bucket.isLast) await early.take(bucket.first, bucket.end, never);
    }
    const atOnce = await new GradientDigest(sum, means).finish(alone, never);
    assert.equal(atOnce.tensorHashes.length, partSizes.length - 2);
    assert.equal(new Set(atOnce.tensorHashes).size, atOnce.tensorHashes.length);
    assert.deepEqual(await early.finish(alone, never), atOnce);
    const gradient = sum.vector.subarray(0, length - 42);
    const squares = gradient.reduce((total, value) => total + value * value, 0);
    assert.ok(Math.abs(atOnce.squares - squares) < 1e-9 * squares);
  });

  it("has another hash for a flipped bit in any piece", async () => {
    const sum = makeSum();
    await sum.addGroup(1, 1, ringOfOne(), never);
    const before = await new GradientDigest(sum, means).finish(alone, never);
    for (const place of [15, 70, 200, 40_000, 100_000, 100_112, 100_120]) {
      const bits = new Uint32Array(sum.vector.buffer, sum.vector.byteOffset, length);
      bits[place]! ^= 1;
      const after = await new GradientDigest(sum, means).finish(alone, never);
      const differs = after.tensorHashes.map((hash, part) => hash !== before.tensorHashes[part]);
      let start = 0;
      for (const [part, size] of partSizes.slice(0, -2).entries()) {
        assert.equal(differs[part], place >= start && place < start + size, `part ${part}`);
        start += size;
      }
      bits[place]! ^= 1;
    }
  });
});
