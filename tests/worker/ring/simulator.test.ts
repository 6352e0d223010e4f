/**
 * The real schedule with many ranks, over memory links: hops, bytes and sums of rings that no machine here could hold. The largest ring of
 * the suite makes exact sums, whose exponents are an all-reduce too. `npm run test:rings` goes up to 1,024 ranks, which takes some
 * ten minutes of one core: messages grow with their square.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import { sumIntegers } from "../../../worker/ring/accumulate.ts";
import { allReduce, type Place } from "../../../worker/ring/collectives.ts";
import type { Link } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { allReduceBytes } from "../../../worker/ring/schedule.ts";
import { exactRingOver } from "../../support/exact-ring.ts";
import { linkWith } from "../../support/watched-link.ts";

/** One for each rank: many listeners to one signal take long to leave it. */
const never = (): AbortSignal => new AbortController().signal;

interface Seen {
  /** Hops at which the rank sent something, by collective. */
  readonly hops: Map<number, Set<number>>;
  chunks: number;
  rounds: number;
}

function watched(link: Link, seen: Seen): Link {
  return linkWith(link, {
    send: (chunk, signal) => {
      const hops = seen.hops.get(chunk.collective) ?? new Set();
      seen.hops.set(chunk.collective, hops.add(chunk.hop));
      seen.chunks += 1;
      return link.send(chunk, signal);
    },
  });
}

/** The places of a ring, and what each rank is seen to do. */
function placesOf(rankCount: number): readonly { readonly place: Place; readonly seen: Seen }[] {
  return createMemoryRing(rankCount).map((plain, rank) => {
    const seen: Seen = { hops: new Map(), chunks: 0, rounds: 0 };
    const onRound = (): void => {
      seen.rounds += 1;
    };
    const link = watched(plain, seen);
    return { place: { rank, rankCount, link, collective: 0, onRound }, seen };
  });
}

async function simulate(rankCount: number, length: number): Promise<void> {
  const ranks = placesOf(rankCount);
  const vectors = ranks.map((_, rank) => Int32Array.from({ length }, (_value, i) => rank * 3 + i));
  await Promise.all(
    ranks.map(({ place }, rank) => allReduce(place, vectors[rank]!, sumIntegers, never())),
  );
  const ranksSum = (3 * rankCount * (rankCount - 1)) / 2;
  const expected = Int32Array.from({ length }, (_, i) => ranksSum + rankCount * i);
  const hops = 2 * (rankCount - 1);
  let bytes = 0;
  for (const [rank, { place, seen }] of ranks.entries()) {
    const { sentBytes } = place.link;
    assert.deepEqual(vectors[rank], expected);
    assert.equal(seen.hops.get(0)!.size, hops);
    assert.equal(seen.chunks, hops);
    assert.equal(seen.rounds, hops);
    // Segments differ by one element at most, so each rank sends the average but for one element a hop.
    const average = allReduceBytes(length * 4, rankCount);
    assert.ok(Math.abs(sentBytes - average) <= hops * 4);
    bytes += sentBytes;
  }
  assert.equal(bytes, rankCount * allReduceBytes(length * 4, rankCount));
}

/** Elements of a block, which is a tensor of its own: an owner has whole ones. */
const blockElements = 3;

/**
 * The exact sum of a microbatch of each rank, as a step makes it: exponents are agreed on, then integers are carried to their owners,
 * and what those have made of them goes round with the squares of its blocks.
 */
async function simulateExact(rankCount: number, blocks: number): Promise<void> {
  const ranks = placesOf(rankCount);
  const length = blocks * blockElements;
  // Whole numbers, which neither rounding to the block's exponent nor the sum changes.
  const valueAt = (rank: number, i: number): number => ((rank * 37 + i * 11) % 2001) - 1000;
  const vectors = await Promise.all(
    ranks.map(async ({ place }) => {
      const sum = new ExactSum(Array<number>(blocks).fill(blockElements), 1);
      const slot = sum.slot(0);
      for (let i = 0; i < length; i++) slot[i] = valueAt(place.rank, i);
      sum.begin();
      await sum.addGroup(1, rankCount, exactRingOver(place), never());
      return sum.vector;
    }),
  );
  const expected = Float32Array.from({ length }, (_, i) =>
    ranks.reduce((sum, { place }) => sum + valueAt(place.rank, i), 0),
  );
  const hops = 2 * (rankCount - 1);
  const squareBytes = 8;
  let bytes = 0;
  for (const [rank, { place, seen }] of ranks.entries()) {
    assert.deepEqual(vectors[rank], expected);
    // Exponents are the first collective, and sums the second.
    assert.deepEqual(
      [...seen.hops].map(([collective, { size }]) => [collective, size]),
      [
        [0, hops],
        [1, hops],
      ],
    );
    assert.equal(seen.rounds, 2 * hops);
    // Squares go in chunks of their own, in the second half.
    assert.equal(seen.chunks, 2 * hops + hops / 2);
    bytes += place.link.sentBytes;
  }
  const ofExponents = allReduceBytes(blocks, rankCount);
  const ofSums = allReduceBytes(length * 4 + (blocks * squareBytes) / 2, rankCount);
  assert.equal(bytes, Math.round(rankCount * (ofExponents + ofSums)));
}

/** Ranks of further rings, by the environment. */
const further = (process.env["RINGMASTER_RING_RANKS"] ?? "")
  .split(",")
  .filter((text) => text !== "")
  .map((text) => [Number(text), 2 * Number(text) + 1] as const);

describe("a ring of many", () => {
  for (const [rankCount, length] of [
    ...further,
    [2, 101],
    [3, 1000],
    [7, 7919],
    [16, 10_007],
    [64, 5003],
  ] as const) {
    it(`of ${rankCount} ranks takes 2 (N − 1) hops and 2·K·(N−1)/N bytes a rank`, () =>
      simulate(rankCount, length));
  }
  for (const [rankCount, blocks] of [
    ...further,
    [3, 100],
    [7, 1000],
    [16, 101],
    [64, 200],
    [256, 259],
  ] as const) {
    it(`of ${rankCount} ranks makes exact sums in 2 (N − 1) hops more than their exponents, with the bytes of an all-reduce and 8 a block`, () =>
      simulateExact(rankCount, blocks));
  }
});
