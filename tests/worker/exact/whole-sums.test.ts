/** Goal: long stretches that are zero on all ranks are not carried round, short ones are, and the bits stay those of one rank. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { wireForms } from "../../../foundation/gradient-wire.ts";
import { layOutBlocks } from "../../../worker/exact/block-layout.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { withoutZeros } from "../../../worker/exact/whole-sums.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { exactRingOver } from "../../support/exact-ring.ts";

const never = new AbortController().signal;
const length = 300_000;
/** Elements [start, end) that are zero everywhere. */
type Zeros = readonly (readonly [number, number])[];

async function sumOver(rankCount: number, zeros: Zeros) {
  const links = createMemoryRing(rankCount);
  const vectors = await Promise.all(
    links.map(async (link, rank) => {
      const sum = new ExactSum([length], 4, [], { form: wireForms.int32, wideFrom: 1 });
      const ring = exactRingOver({ rank, rankCount, link, collective: 0 });
      let held = 0;
      for (const step of [0, 1]) {
        sum.begin();
        held = 0;
        for (let m = rank; m < 4; m += rankCount) {
          const slot = sum.slot(held++);
          for (let i = 0; i < length; i++) slot[i] = Math.sin(i * 0.37 + m + step);
          // What was there in the first step is gone in the second.
          for (const [start, end] of step === 0 ? [] : zeros) slot.fill(0, start, end);
        }
        await sum.addGroup(held, 4, ring, never);
        sum.commit(step);
      }
      return Buffer.from(sum.vector.slice().buffer);
    }),
  );
  const [{ sentBytes } = { sentBytes: 0 }] = links;
  return { vectors, sentBytes };
}

describe("withoutZeros", () => {
  it("leaves out long stretches and ends, and keeps short ones", () => {
    const { bounds } = layOutBlocks([length]);
    const count = bounds.length - 1;
    const exponents = new Uint8Array(count).fill(7);
    exponents
      .fill(0, 0, 3)
      .fill(0, 10, 73)
      .fill(0, 100, 164)
      .fill(0, count - 1);
    const blocks = Uint32Array.from({ length: count }, (_, block) => block);
    const run = { sources: [Float32Array.from({ length }, (_, i) => i)], keys: null, blocks };
    const left = withoutZeros(run, { exponents, bounds });
    assert.deepEqual(
      left.map((one) => [one.blocks[0], one.blocks.at(-1), one.sources[0]?.[0]]),
      [
        [3, 99, bounds[3]],
        [164, count - 2, bounds[164]],
      ],
    );
    assert.deepEqual(withoutZeros(run, { exponents: new Uint8Array(count), bounds }), []);
  });
});

describe("sums carried round a ring", () => {
  it("have the bits of one rank where stretches are zero, which do not travel", async () => {
    const zeros: Zeros = [
      [0, 5_000],
      [100_000, 200_000],
      [210_000, 215_000],
    ];
    const alone = await sumOver(1, zeros);
    for (const rankCount of [2, 3, 4]) {
      const dense = await sumOver(rankCount, []);
      const sparse = await sumOver(rankCount, zeros);
      for (const vector of sparse.vectors) assert.ok(vector.equals(alone.vectors[0]!));
      const left = dense.sentBytes - sparse.sentBytes;
      // Of the second step's: 100,000 and the first blocks, 2·(N−1)/N times, but not the 5,000 between others.
      const expected = (2 * 104_000 * 4 * (rankCount - 1)) / rankCount;
      assert.ok(left > 0.95 * expected && left < 1.05 * expected, `${left} of ${expected}`);
    }
  });
});
