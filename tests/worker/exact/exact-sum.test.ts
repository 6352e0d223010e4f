/** One sum, however many workers share the microbatches. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { maxBytes, sumIntegers } from "../../../worker/ring/accumulate.ts";
import { allReduce, type Place } from "../../../worker/ring/collectives.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";

const parts = [1500, 7, 1, 4096, 33];
const length = parts.reduce((sum, size) => sum + size, 0);
const never = new AbortController().signal;

function gradientOf(microbatch: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => {
    const value = Math.sin(i * 12.9898 + microbatch * 78.233) * 10 ** ((i % 9) - 6);
    return i % 11 === 0 ? 0 : value;
  });
}

async function sumOver(rankCount: number, microbatchCount: number): Promise<Buffer> {
  const places = createMemoryRing(rankCount).map((link, rank): Place => ({
    rank,
    rankCount,
    link,
    collective: 0,
  }));
  const results = await Promise.all(
    places.map(async (place) => {
      const slots = Math.ceil(microbatchCount / rankCount);
      const sum = new ExactSum(parts, slots);
      const ring = {
        worldSize: rankCount,
        sumIntegers: (vector: Int32Array) => allReduce(place, vector, sumIntegers, never),
        maxBytes: (bytes: Uint8Array) => allReduce(place, bytes, maxBytes, never),
      };
      sum.begin();
      for (const [first, end] of sum.groups(microbatchCount)) {
        let held = 0;
        for (let m = first; m < end; m++) {
          if (m % rankCount === place.rank) sum.slot(held++).set(gradientOf(m));
        }
        await sum.addGroup(held, end - first, ring, never);
      }
      return Buffer.from(
        new Uint8Array(sum.vector.buffer, sum.vector.byteOffset, length * 4).slice(),
      );
    }),
  );
  for (const result of results) assert.ok(result.equals(results[0]!));
  return results[0]!;
}

describe("ExactSum", () => {
  it("gives the same bits on 1 to 9 ranks, more ranks than microbatches included", async () => {
    for (const microbatchCount of [1, 4, 7]) {
      const alone = await sumOver(1, microbatchCount);
      for (let ranks = 2; ranks <= 9; ranks++) {
        assert.ok(
          (await sumOver(ranks, microbatchCount)).equals(alone),
          `${microbatchCount} on ${ranks}`,
        );
      }
    }
  });

  it("gives the same bits for a step of several groups", async () => {
    const alone = await sumOver(1, 150);
    assert.ok((await sumOver(3, 150)).equals(alone));
  });

  it("is the sum", async () => {
    const result = new Float32Array(new Uint8Array(await sumOver(2, 4)).buffer);
    const gradients = [0, 1, 2, 3].map(gradientOf);
    for (let i = 0; i < length; i++) {
      const truth = gradients.reduce((sum, gradient) => sum + gradient[i]!, 0);
      const scale = Math.max(...gradients.map((gradient) => Math.abs(gradient[i]!)), 1e-3);
      assert.ok(
        Math.abs(result[i]! - truth) <= 1e-6 * scale + 1e-6,
        `${i}: ${result[i]} for ${truth}`,
      );
    }
  });
});
