/**
 * Sums of which each rank ends with its own part alone: the bits of sums that every rank has, the same norm and hashes for any
 * number of ranks and buckets, half of the traffic.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exactWires, wireForms, type GradientWire } from "../../../foundation/gradient-wire.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import type { ExactRing } from "../../../worker/exact/group-sum.ts";
import { dealRegions, shareOf } from "../../../worker/exact/ownership.ts";
import {
  GradientDigest,
  type DigestRing,
  type GradientFacts,
} from "../../../worker/gradient-digest.ts";
import { TensorHasher } from "../../../worker/hashing/tensor-hasher.ts";
import { collectivesOver } from "../../../worker/ring/collectives.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { exactRingOver } from "../../support/exact-ring.ts";

/** [whole, several pieces | rows of 40, several pieces | small | whole, several pieces | tiny | buffer | loss | weight] */
const partSizes = [70_000, 2_000 * 40, 33, 130_000, 7, 50, 1, 1];
const gradientParts = 5;
const length = partSizes.reduce((sum, size) => sum + size, 0);
const trainable = length - 52;
const rowParts = [{ part: 1, rows: 2_000, capacity: 30 }];
const rowSize = 40;
const wholeLength = length - 2_000 * rowSize;
const microbatches = 4;
const never = new AbortController().signal;

function rowsOf(step: number, microbatch: number): Int32Array {
  return Int32Array.from({ length: 20 }, (_, k) => (k * 97 + microbatch * 31 + step * 7) % 2_000);
}

function valueAt(step: number, microbatch: number, index: number): number {
  if ((index >> 11) % 40 === step % 40) return 0;
  return Math.sin(index * 0.7 + microbatch * 3 + step) * 2 ** (((index >> 9) % 20) - 10);
}

interface SumForm {
  readonly wire: GradientWire;
  readonly rankCount: number;
  readonly buckets: number;
  readonly scatters: boolean;
  /** What becomes of the integers that a rank has after a reduce-scatter; by default nothing. */
  readonly after?: (rank: number, integers: Int32Array) => void;
}

/** Sums steps; gives by step the whole vector, put together of owners' parts, what it came to by rank, and the bytes sent. */
async function sumSteps(
  { wire, rankCount, buckets, scatters, after = () => undefined }: SumForm,
  steps: number,
) {
  const form = wireForms[wire];
  const regions = dealRegions(
    { partSizes, rowParts, gradientParts, wire: form, buckets, microbatches },
    rankCount,
  );
  const vectors = Array.from({ length: steps }, () => new Float32Array(length).fill(Number.NaN));
  let sentBytes = 0;
  const facts = await Promise.all(
    createMemoryRing(rankCount).map(async (link, rank) => {
      const place = { rank, rankCount, link, collective: 0 };
      const exact = exactRingOver(place);
      const ring: ExactRing = {
        ...exact,
        async scatterIntegers(vector, how, signal) {
          await exact.scatterIntegers(vector, how, signal);
          const { start, end } = how.segments[rank]!;
          after(rank, vector.subarray(start, end));
        },
      };
      const collectives = collectivesOver(place);
      const digestRing: DigestRing = {
        allGather: (own, sizes, signal) => collectives.allGather(own, sizes, signal),
      };
      const sum = new ExactSum(partSizes, microbatches, rowParts, {
        form,
        wideFrom: gradientParts,
      });
      const ownership = scatters ? { rank, rankCount, regions } : null;
      const byStep: GradientFacts[] = [];
      for (let step = 0; step < steps; step++) {
        sum.begin();
        const own = Array.from({ length: microbatches }, (_, m) => m).filter(
          (m) => m % rankCount === rank,
        );
        for (const [slot, m] of own.entries()) {
          const rows = rowsOf(step, m);
          const vector = sum.slot(slot);
          for (let i = 0; i < wholeLength; i++) vector[i] = valueAt(step, m, i);
          for (const [k, row] of rows.entries()) {
            for (let i = 0; i < rowSize; i++)
              vector[wholeLength + k * rowSize + i] = valueAt(step, m, row * 41 + i);
          }
          sum.touch(slot, [{ rows, room: rows.length }]);
          sum.roundBy(slot, step * 100 + m);
        }
        const group = sum.openGroup(own.length, microbatches, ownership);
        for (const bucket of sum.buckets(buckets, microbatches))
          await group.add(bucket, ring, never);
        const means = { hasher: new TensorHasher(), recorder: null, ownership };
        byStep.push(await new GradientDigest(sum, means).finish(digestRing, never));
        const whole = [{ start: 0, end: trainable }];
        const has = ownership === null ? whole : shareOf(regions, rank);
        for (const { start, end } of [...has, { start: trainable, end: length }])
          vectors[step]!.set(sum.vector.subarray(start, end), start);
        // As an update does, which leaves weights there.
        if (step % 2 === 0) {
          sum.vector.fill(3);
          sum.overwritten();
        }
      }
      sentBytes += link.sentBytes;
      return byStep;
    }),
  );
  return { vectors, facts, sentBytes };
}

describe("scattered sums", () => {
  for (const wire of exactWires) {
    it(`have the bits, norm and hashes of whole ones on 1 to 5 ranks as ${wire}`, async () => {
      const alone = { wire, rankCount: 1, buckets: 1, scatters: false };
      const expected = await sumSteps(alone, 3);
      assert.ok(expected.facts[0]!.every(({ squares }) => squares > 0));
      for (const rankCount of [1, 2, 3, 5]) {
        for (const [buckets, scatters] of [
          [1, false],
          [1, true],
          [3, true],
        ] as const) {
          const { vectors, facts } = await sumSteps({ wire, rankCount, buckets, scatters }, 3);
          const what = `${rankCount} ranks, ${buckets} buckets`;
          for (const byStep of facts) assert.deepEqual(byStep, expected.facts[0], what);
          assert.deepEqual(vectors, expected.vectors, what);
        }
      }
    });

    it(`send half of what whole ones do as ${wire}`, async () => {
      const form = { wire, rankCount: 3, buckets: 3 };
      const whole = await sumSteps({ ...form, scatters: false }, 1);
      const scattered = await sumSteps({ ...form, scatters: true }, 1);
      const ratio = scattered.sentBytes / whole.sentBytes;
      // Blocks that are zero between others go round with them, but are not dealt out.
      assert.ok(ratio > 0.48 && ratio < 0.53, String(ratio));
    });
  }
});

describe("proofs of sums", () => {
  it("name the rank whose sum is not that of what all gave, to all ranks", async () => {
    for (const wire of exactWires) {
      const form = { wire, rankCount: 3, buckets: 2, scatters: true };
      const flips = [0, 0, 0];
      const { facts } = await sumSteps(
        {
          ...form,
          after(rank, integers) {
            flips[rank]! += 1;
            // In one region of one step.
            if (rank === 1 && flips[rank] === 2) integers[integers.length >> 1]! ^= 1 << 9;
          },
        },
        2,
      );
      for (const byStep of facts)
        assert.deepEqual(
          byStep.map(({ wrongOwners }) => wrongOwners),
          [[1], []],
        );
    }
  });
});

describe("dealRegions", () => {
  it("deals every element of the gradient to one rank, evenly", () => {
    for (const wire of exactWires) {
      for (const [rankCount, buckets] of [
        [1, 1],
        [2, 3],
        [3, null],
        [7, 2],
      ] as const) {
        const form = { partSizes, rowParts, gradientParts, wire: wireForms[wire], buckets };
        const regions = dealRegions({ ...form, microbatches }, rankCount);
        const owners = new Uint8Array(length);
        for (let rank = 0; rank < rankCount; rank++) {
          let size = 0;
          for (const { start, end } of shareOf(regions, rank)) {
            size += end - start;
            for (let i = start; i < end; i++) owners[i]! += 1;
          }
          const even = trainable / rankCount;
          // A piece more or less in each region.
          assert.ok(Math.abs(size - even) <= regions.length * 32_768, `${size} of ${even}`);
        }
        assert.ok(owners.subarray(0, trainable).every((count) => count === 1));
        assert.ok(owners.subarray(trainable).every((count) => count === 0));
      }
    }
  });
});
