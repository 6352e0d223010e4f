/** What collectives must do, however they travel: the same suite runs over links of all kinds and over shared memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  maxBytes,
  sumFloats,
  sumIntegers,
  sumOctets,
  sumShorts,
} from "../../worker/ring/accumulate.ts";
import type { Collectives } from "../../worker/ring/collectives.ts";
import { LinkBroken } from "../../worker/ring/link.ts";

/** The collectives of every rank, and their removal. */
export interface CollectiveGroup {
  readonly ranks: readonly Collectives[];
  /** One rank leaves for good, as if it had died. */
  leave(rank: number): void;
  close(): Promise<void>;
}

const never = new AbortController().signal;

/** Whole numbers, so that sums in any order are exact. */
function vectorOf(rank: number, length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => ((rank + 1) * 31 + i * 7) % 1009);
}

function sumOf(rankCount: number, length: number): Float32Array {
  const sum = new Float32Array(length);
  for (let rank = 0; rank < rankCount; rank++) {
    vectorOf(rank, length).forEach((value, i) => (sum[i]! += value));
  }
  return sum;
}

async function reduceOnce(all: readonly Collectives[], length: number): Promise<void> {
  const vectors = all.map((rank) => vectorOf(rank.rank, length));
  await Promise.all(all.map((rank, r) => rank.allReduce(vectors[r]!, sumFloats, never)));
  const expected = sumOf(all.length, length);
  for (const vector of vectors) assert.deepEqual(vector, expected);
}

/** Registers the suite. `rankCounts` says which sizes the setup can make in reasonable time. */
export function describeCollectives(
  name: string,
  setup: (rankCount: number) => Promise<CollectiveGroup>,
  rankCounts: readonly number[],
): void {
  const withGroup = async (
    count: number,
    use: (group: CollectiveGroup) => Promise<void>,
  ): Promise<void> => {
    const group = await setup(count);
    try {
      await use(group);
    } finally {
      await group.close();
    }
  };
  describe(`${name} keep the contract`, () => {
    for (const count of rankCounts) {
      it(`sums vectors of any length over ${count} ranks`, () =>
        withGroup(count, async (group) => {
          const all = group.ranks;
          assert.equal(all.length, count);
          const lengths = [0, 1, count - 1, count, count + 1, 7919, 300_007];
          for (const length of lengths) await reduceOnce(all, length);
        }));
    }
    it("sums a vector that is far larger than all windows together", () =>
      withGroup(3, (group) => reduceOnce(group.ranks, 15_000_000)));
    it("sums what fast-check thinks of", () =>
      withGroup(3, async (group) => {
        const all = group.ranks;
        await fc.assert(
          fc.asyncProperty(fc.integer({ min: 0, max: 5000 }), (length) => reduceOnce(all, length)),
          { numRuns: 25 },
        );
      }));
    it("reduce-scatter and all-gather together make an all-reduce", () =>
      withGroup(4, async (group) => {
        const all = group.ranks;
        const vectors = all.map((place) => vectorOf(place.rank, 10_007));
        const expected = sumOf(4, 10_007);
        const owned = await Promise.all(
          all.map((place, rank) => place.reduceScatter(vectors[rank]!, sumFloats, never)),
        );
        owned.forEach(({ start, end }, rank) =>
          assert.deepEqual(vectors[rank]!.slice(start, end), expected.slice(start, end)),
        );
        assert.equal(
          owned.reduce((sum, { start, end }) => sum + end - start, 0),
          10_007,
        );
        await Promise.all(all.map((place, rank) => place.allGatherSegments(vectors[rank]!, never)));
        for (const vector of vectors) assert.deepEqual(vector, expected);
      }));
    it("leaves each rank with the sum of its segment, however uneven", () =>
      withGroup(4, async (group) => {
        const all = group.ranks;
        for (const ends of [
          [0, 9, 9, 10_007],
          [5000, 5001, 700_000, 700_000],
          [0, 0, 0, 0],
          [3, 3, 3, 3],
        ]) {
          const segments = ends.map((end, rank) => ({ start: ends[rank - 1] ?? 0, end }));
          const length = ends.at(-1)!;
          const vectors = all.map((place) => Int32Array.from(vectorOf(place.rank, length)));
          await Promise.all(
            all.map((place, r) => place.scatterTo(vectors[r]!, sumIntegers, segments, never)),
          );
          const expected = Int32Array.from(sumOf(4, length));
          for (const { rank } of all) {
            const { start, end } = segments[rank]!;
            assert.deepEqual(vectors[rank]!.slice(start, end), expected.slice(start, end));
          }
        }
        const short = [1, 2, 3, 4].map((end, rank) => ({ start: rank, end }));
        await assert.rejects(
          all[0]!.scatterTo(new Int32Array(5), sumIntegers, short, never),
          /Cannot scatter 5 elements/u,
        );
      }));
    it("sums integers that wrap, and keeps the largest of bytes", () =>
      withGroup(3, async (group) => {
        const all = group.ranks;
        const integers = all.map(({ rank }) => Int32Array.of(2 ** 31 - 1, -5, rank, 7, 9));
        await Promise.all(
          all.map((place, rank) => place.allReduce(integers[rank]!, sumIntegers, never)),
        );
        for (const vector of integers) {
          assert.deepEqual([...vector], [(3 * (2 ** 31 - 1)) | 0, -15, 3, 21, 27]);
        }
        const shorts = all.map(({ rank }) => Int16Array.of(rank, -9000, 7, 32_000 * (1 - rank)));
        await Promise.all(
          all.map((place, rank) => place.allReduce(shorts[rank]!, sumShorts, never)),
        );
        for (const vector of shorts) assert.deepEqual([...vector], [3, -27_000, 21, 0]);
        const octets = all.map(({ rank }) => Int8Array.of(rank, -40, 7, 100 * (1 - rank), 1));
        await Promise.all(
          all.map((place, rank) => place.allReduce(octets[rank]!, sumOctets, never)),
        );
        for (const vector of octets) assert.deepEqual([...vector], [3, -120, 21, 0, 3]);
        const bytes = all.map(({ rank }) => Uint8Array.of(rank, 255 - rank, 7, rank === 1 ? 9 : 0));
        await Promise.all(all.map((place, rank) => place.allReduce(bytes[rank]!, maxBytes, never)));
        for (const vector of bytes) assert.deepEqual([...vector], [2, 255, 7, 9]);
      }));
    it("gathers uneven parts by rank, and broadcasts from any root", () =>
      withGroup(4, async (group) => {
        const all = group.ranks;
        const sizes = [0, 3, 2_500_000, 1];
        const parts = sizes.map((size, rank) => new Uint8Array(size).fill(rank + 1));
        const gathered = await Promise.all(
          all.map((place, rank) => place.allGather(parts[rank]!, sizes, never)),
        );
        for (const result of gathered)
          result.forEach((part, rank) => assert.ok(Buffer.from(part).equals(parts[rank]!)));
        // In place, at places that begin anywhere.
        const ends = [0, 3, 2_500_003, 2_500_004];
        const wholes = all.map((_, own) =>
          Uint8Array.from({ length: ends[3]! }, (_byte, i) =>
            i >= (ends[own - 1] ?? 0) && i < ends[own]! ? own + 1 : 0,
          ),
        );
        await Promise.all(
          all.map((place, own) =>
            place.fillParts(
              ends.map((end, rank) => wholes[own]!.subarray(ends[rank - 1] ?? 0, end)),
              never,
            ),
          ),
        );
        for (const whole of wholes) assert.ok(Buffer.concat(parts).equals(whole));
        for (let root = 0; root < 4; root++) {
          const bytes = all.map((place) =>
            new Uint8Array(1_500_000).fill(place.rank === root ? 9 : 0),
          );
          await Promise.all(all.map((place, rank) => place.broadcast(bytes[rank]!, root, never)));
          for (const got of bytes) assert.ok(got.every((value) => value === 9));
        }
        await Promise.all(all.map((place) => place.barrier(never)));
      }));
    const calls: Readonly<
      Record<string, (rank: Collectives, signal: AbortSignal) => Promise<unknown>>
    > = {
      allReduce: (rank, signal) => rank.allReduce(new Int32Array(600_000), sumIntegers, signal),
      reduceScatter: (rank, signal) =>
        rank.reduceScatter(new Int32Array(600_000), sumIntegers, signal),
      allGatherSegments: (rank, signal) => rank.allGatherSegments(new Int32Array(9), signal),
      allGather: (rank, signal) => rank.allGather(new Uint8Array(2), [2, 2, 2], signal),
      fillParts: (rank, signal) =>
        rank.fillParts(
          Array.from({ length: 3 }, () => new Uint8Array(2)),
          signal,
        ),
      // From a root that does not take part.
      broadcast: (rank, signal) => rank.broadcast(new Uint8Array(8), 1, signal),
      barrier: (rank, signal) => rank.barrier(signal),
    };
    for (const [call, begin] of Object.entries(calls)) {
      it(`${call} is cancelled with the signal's reason`, () =>
        withGroup(3, async (group) => {
          const stop = new AbortController();
          const waiting = begin(group.ranks[0]!, stop.signal);
          const told = assert.rejects(waiting, /no longer wanted/);
          setTimeout(() => stop.abort(new Error("no longer wanted")), 20);
          await told;
        }));
      it(`${call} is not begun when the signal is aborted already`, () =>
        withGroup(3, async (group) => {
          const waiting = begin(group.ranks[0]!, AbortSignal.abort(new Error("not wanted")));
          await assert.rejects(waiting, /not wanted/);
        }));
    }
    it("breaks when a rank is gone", () =>
      withGroup(3, async (group) => {
        const waiting = [0, 2].map((rank) =>
          assert.rejects(group.ranks[rank]!.barrier(never), LinkBroken),
        );
        group.leave(1);
        await Promise.race(waiting);
        // Who is told leaves too, and so tells its other neighbour.
        group.leave(0);
        group.leave(2);
        await Promise.all(waiting);
      }));
  });
}
