/** What every link must do. A setup makes a ring of links; the same suite runs over memory, gRPC and shared memory. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Arena } from "../../worker/exact/arena.ts";
import { sumFloats } from "../../worker/ring/accumulate.ts";
import { collectivesOver, type Collectives } from "../../worker/ring/collectives.ts";
import { LinkBroken, type Chunk, type ChunkHead, type Link } from "../../worker/ring/link.ts";
import { describeCollectives } from "./collectives-contract.ts";

/** A ring of links and its removal. */
export interface LinkRing {
  readonly links: readonly Link[];
  close(): Promise<void>;
}

const never = new AbortController().signal;

function collectivesOf(ring: LinkRing): readonly Collectives[] {
  return ring.links.map((link, rank) =>
    collectivesOver({ rank, rankCount: ring.links.length, link, collective: 0 }),
  );
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
  describeCollectives(
    `collectives over ${name}`,
    async (count) => {
      const ring = await setup(count);
      return {
        ranks: collectivesOf(ring),
        leave: (rank) => ring.links[rank]?.close(),
        close: () => ring.close(),
      };
    },
    rankCounts,
  );
  describe(`${name} keeps the link contract`, () => {
    it("sends 2·K·(N−1)/N bytes for K bytes", () =>
      withRing(4, async (ring) => {
        const before = ring.links.map((link) => link.sentBytes);
        await Promise.all(
          collectivesOf(ring).map((rank) =>
            rank.allReduce(new Float32Array(40_000), sumFloats, never),
          ),
        );
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
    it("puts payloads where the landing says, and nowhere else", () =>
      withRing(2, async (ring) => {
        const [from, to] = [ring.links[0]!, ring.links[1]!];
        // Threads share an arena's memory: not every way to read into memory takes such.
        const arena = new Arena(2_000_000);
        const places = new Map(
          [0, 500, 100_000, 1_500_000].map((offset) => [offset, arena.bytes(offset + 1)]),
        );
        const heads: ChunkHead[] = [];
        to.land((head) => {
          heads.push({ ...head });
          return places.get(head.offset) ?? null;
        });
        const chunkOf = (offset: number, hop: number): Chunk => ({
          collective: 7,
          hop,
          offset,
          data: new Uint8Array(offset + 1).fill(hop),
        });
        const offsets = [...places.keys(), 1];
        for (const [index, offset] of offsets.entries()) {
          const sent = chunkOf(offset, index + 1);
          await from.send(sent, never);
          const { data, ...head } = await to.receive(never);
          assert.deepEqual(head, { collective: 7, hop: index + 1, offset });
          assert.ok(Buffer.from(sent.data).equals(data));
          const place = places.get(offset);
          assert.equal(data.buffer === place?.buffer, place !== undefined);
          if (place !== undefined) assert.equal(data.byteOffset, place.byteOffset);
        }
        assert.deepEqual(
          heads.map(({ collective, hop, offset, bytes }) => [collective, hop, offset, bytes]),
          offsets.map((offset, index) => [7, index + 1, offset, offset + 1]),
        );
        to.land(null);
        await from.send(chunkOf(500, 99), never);
        const { data } = await to.receive(never);
        assert.deepEqual([data[0], places.get(500)![0]], [99, 2]);
      }));
    it("breaks when the left neighbour closes", () =>
      withRing(3, async (ring) => {
        const waiting = assert.rejects(ring.links[1]!.receive(never), LinkBroken);
        ring.links[0]!.close();
        await waiting;
      }));
  });
}
