/** What every link must do. A setup makes a ring of links; the same suite runs over memory, gRPC and shared memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { maxBytes, sumFloats, sumIntegers } from "../../worker/ring/accumulate.ts";
import {
  allGather,
  allGatherSegments,
  allReduce,
  barrier,
  broadcast,
  reduceScatter,
  type Place,
} from "../../worker/ring/collectives.ts";
import { LinkBroken, type Link } from "../../worker/ring/link.ts";

/** A ring of links and its removal. */
export interface LinkRing {
  readonly links: readonly Link[];
  close(): Promise<void>;
}

const never = new AbortController().signal;

function places(ring: LinkRing): Place[] {
  return ring.links.map((link, rank) => ({
    rank,
    rankCount: ring.links.length,
    link,
    collective: 0,
  }));
}

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

async function reduceOnce(all: readonly Place[], length: number): Promise<void> {
  const vectors = all.map((place) => vectorOf(place.rank, length));
  await Promise.all(all.map((place, rank) => allReduce(place, vectors[rank]!, sumFloats, never)));
  const expected = sumOf(all.length, length);
  for (const vector of vectors) assert.deepEqual(vector, expected);
}

/** Registers the suite. `rankCounts` says which ring sizes the setup can make in reasonable time. */
export function describeLink(
  name: string,
  setup: (rankCount: number) => Promise<LinkRing>,
  rankCounts: readonly number[],
): void {
  const withRing = async (count: number, use: (ring: LinkRing) => Promise<void>): Promise<void> => {
    const ring = await setup(count);
    try {
      await use(ring);
    } finally {
      await ring.close();
    }
  };
  describe(`${name} keeps the link contract`, () => {
    for (const count of rankCounts) {
      it(`sums vectors of any length over ${count} ranks`, () =>
        withRing(count, async (ring) => {
          const all = places(ring);
          const lengths = [0, 1, count - 1, count, count + 1, 7919, 300_007];
          for (const length of lengths) await reduceOnce(all, length);
        }));
    }
    it("sums a vector that is far larger than all windows together", () =>
      withRing(3, (ring) => reduceOnce(places(ring), 15_000_000)));
    it("sums what fast-check thinks of", () =>
      withRing(3, async (ring) => {
        const all = places(ring);
        await fc.assert(
          fc.asyncProperty(fc.integer({ min: 0, max: 5000 }), (length) => reduceOnce(all, length)),
          { numRuns: 25 },
        );
      }));
    it("reduce-scatter and all-gather together make an all-reduce", () =>
      withRing(4, async (ring) => {
        const all = places(ring);
        const vectors = all.map((place) => vectorOf(place.rank, 10_007));
        const expected = sumOf(4, 10_007);
        const owned = await Promise.all(
          all.map((place, rank) => reduceScatter(place, vectors[rank]!, sumFloats, never)),
        );
        owned.forEach(({ start, end }, rank) =>
          assert.deepEqual(vectors[rank]!.slice(start, end), expected.slice(start, end)),
        );
        assert.equal(
          owned.reduce((sum, { start, end }) => sum + end - start, 0),
          10_007,
        );
        await Promise.all(
          all.map((place, rank) => allGatherSegments(place, vectors[rank]!, never)),
        );
        for (const vector of vectors) assert.deepEqual(vector, expected);
      }));
    it("sums integers that wrap, and keeps the largest of bytes", () =>
      withRing(3, async (ring) => {
        const all = places(ring);
        const integers = all.map(({ rank }) => Int32Array.of(2 ** 31 - 1, -5, rank, 7, 9));
        await Promise.all(
          all.map((place, rank) => allReduce(place, integers[rank]!, sumIntegers, never)),
        );
        for (const vector of integers) {
          assert.deepEqual([...vector], [(3 * (2 ** 31 - 1)) | 0, -15, 3, 21, 27]);
        }
        const bytes = all.map(({ rank }) => Uint8Array.of(rank, 255 - rank, 7, rank === 1 ? 9 : 0));
        await Promise.all(
          all.map((place, rank) => allReduce(place, bytes[rank]!, maxBytes, never)),
        );
        for (const vector of bytes) assert.deepEqual([...vector], [2, 255, 7, 9]);
      }));
    it("gathers uneven parts by rank, and broadcasts from any root", () =>
      withRing(4, async (ring) => {
        const all = places(ring);
        const sizes = [0, 3, 2_500_000, 1];
        const parts = sizes.map((size, rank) => new Uint8Array(size).fill(rank + 1));
        const gathered = await Promise.all(
          all.map((place, rank) => allGather(place, parts[rank]!, sizes, never)),
        );
        for (const result of gathered)
          result.forEach((part, rank) => assert.ok(Buffer.from(part).equals(parts[rank]!)));
        for (let root = 0; root < 4; root++) {
          const bytes = all.map((place) =>
            new Uint8Array(1_500_000).fill(place.rank === root ? 9 : 0),
          );
          await Promise.all(all.map((place, rank) => broadcast(place, bytes[rank]!, root, never)));
          for (const got of bytes) assert.ok(got.every((value) => value === 9));
        }
        await Promise.all(all.map((place) => barrier(place, never)));
      }));
    it("sends 2·K·(N−1)/N bytes for K bytes", () =>
      withRing(4, async (ring) => {
        const before = ring.links.map((link) => link.sentBytes);
        await reduceOnce(places(ring), 40_000);
        ring.links.forEach((link, rank) =>
          assert.equal(link.sentBytes - before[rank]!, (2 * 160_000 * 3) / 4),
        );
      }));
    it("holds back a sender whose neighbour does not read", () =>
      withRing(2, async (ring) => {
        const link = ring.links[0]!;
        const limit = 256;
        const stop = new AbortController();
        let sent = 0;
        const data = new Uint8Array(1024 * 1024);
        const sending = (async () => {
          for (; sent < limit; sent++)
            await link.send({ collective: 0, hop: 0, offset: 0, data }, stop.signal);
        })();
        let seen = -1;
        while (seen !== sent) {
          seen = sent;
          await new Promise((resolve) => setTimeout(resolve, 150));
        }
        assert.ok(sent < limit, `${sent} chunks of 1 MiB were taken though nobody reads`);
        stop.abort(new Error("enough"));
        await assert.rejects(sending, /enough/);
      }));
    it("cancels a receive with the signal's reason", () =>
      withRing(2, async (ring) => {
        const stop = new AbortController();
        const waiting = ring.links[0]!.receive(stop.signal);
        stop.abort(new Error("no longer wanted"));
        await assert.rejects(waiting, /no longer wanted/);
      }));
    it("breaks when the left neighbour closes", () =>
      withRing(3, async (ring) => {
        const waiting = assert.rejects(ring.links[1]!.receive(never), LinkBroken);
        ring.links[0]!.close();
        await waiting;
      }));
  });
}
