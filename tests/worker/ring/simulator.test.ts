/**
 * The real schedule with many ranks, over memory links: hops, bytes and sums of rings that no machine here could hold.
 * `npm run test:rings` goes up to 1,024 ranks, which takes two or three minutes of one core: messages grow with their square.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { sumIntegers } from "../../../worker/ring/accumulate.ts";
import { allReduce } from "../../../worker/ring/collectives.ts";
import type { Link } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { allReduceBytes } from "../../../worker/ring/schedule.ts";
import { sendingBy } from "../../support/watched-link.ts";

interface Seen {
  /** Hops at which the rank sent something. */
  readonly hops: Set<number>;
  chunks: number;
  rounds: number;
}

function watched(link: Link, seen: Seen): Link {
  return sendingBy(link, (chunk, signal) => {
    seen.hops.add(chunk.hop);
    seen.chunks += 1;
    return link.send(chunk, signal);
  });
}

async function simulate(rankCount: number, length: number): Promise<void> {
  const links = createMemoryRing(rankCount);
  const seen = links.map((): Seen => ({ hops: new Set(), chunks: 0, rounds: 0 }));
  const vectors = links.map((_, rank) => Int32Array.from({ length }, (_value, i) => rank * 3 + i));
  await Promise.all(
    links.map((link, rank) => {
      const own = seen[rank]!;
      const onRound = (): void => {
        own.rounds += 1;
      };
      return allReduce(
        { rank, rankCount, link: watched(link, own), collective: 0, onRound },
        vectors[rank]!,
        sumIntegers,
        new AbortController().signal,
      );
    }),
  );
  const ranksSum = (3 * rankCount * (rankCount - 1)) / 2;
  const expected = Int32Array.from({ length }, (_, i) => ranksSum + rankCount * i);
  const hops = 2 * (rankCount - 1);
  let bytes = 0;
  for (const [rank, link] of links.entries()) {
    assert.deepEqual(vectors[rank], expected);
    assert.equal(seen[rank]!.hops.size, hops);
    assert.equal(seen[rank]!.chunks, hops);
    assert.equal(seen[rank]!.rounds, hops);
    // Segments differ by one element at most, so each rank sends the average but for one element a hop.
    const average = allReduceBytes(length * 4, rankCount);
    assert.ok(Math.abs(link.sentBytes - average) <= hops * 4);
    bytes += link.sentBytes;
  }
  assert.equal(bytes, rankCount * allReduceBytes(length * 4, rankCount));
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
    [256, 1000],
  ] as const) {
    it(`of ${rankCount} ranks takes 2 (N − 1) hops and 2·K·(N−1)/N bytes a rank`, () =>
      simulate(rankCount, length));
  }
});
