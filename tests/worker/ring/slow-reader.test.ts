/**
 * One rank reads slowly: what its left neighbour has sent and it has not taken is bounded by the link's own limits, and what waits behind
 * those is places of one vector, each once at most. So a rank's memory does not depend on how slow another one is.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { receiveWindowBytes, ringChunkBytes } from "../../../proto/limits.ts";
import type { Carried } from "../../../worker/exact/carried-sums.ts";
import { sumIntegers } from "../../../worker/ring/accumulate.ts";
import { allReduce } from "../../../worker/ring/collectives.ts";
import { waitingMax } from "../../../worker/ring/grpc-inlet.ts";
import { leavingMax } from "../../../worker/ring/grpc-outlet.ts";
import type { Link } from "../../../worker/ring/link.ts";
import { createMemoryRing, inFlightMax } from "../../../worker/ring/memory-link.ts";
import { carryingOver } from "../../../worker/ring/ring-carry.ts";
import { chunkBytesOf, type Place } from "../../../worker/ring/ring-walk.ts";
import { cutSegments } from "../../../worker/ring/segments.ts";
import { sharedMemoryFolder } from "../../../foundation/host/host-id.ts";
import { hasRoom, slotCount } from "../../../worker/ring/shared-memory.ts";
import type { LinkRing } from "../../contract/link-contract.ts";
import { grpcRing } from "../../support/grpc-ring.ts";
import { linkWith } from "../../support/watched-link.ts";

const rankCount = 3;
const lastHop = 2 * (rankCount - 1) - 1;
/** The rank that reads slowly, and the one that sends to it. */
const [slow, before] = [2, 1] as const;
/** Elements: more than all windows together. */
const length = 18 * 1024 * 1024;
const vectorBytes = length * 4;
const never = new AbortController().signal;

/** What a rank's walk has to send and has not given to the link. */
class Queue {
  /** Its own part is there from the beginning. */
  bytes = vectorBytes / rankCount;
  most = 0;

  add(bytes: number): void {
    this.bytes += bytes;
    this.most = Math.max(this.most, this.bytes);
  }
}

/** A link that tells a queue what comes and goes, and waits before each chunk that it takes. */
function watched(link: Link, queue: Queue, beforeReceive: () => Promise<void>): Link {
  return linkWith(link, {
    async send(chunk, signal) {
      await link.send(chunk, signal);
      queue.add(-chunk.data.byteLength);
    },
    async receive(signal) {
      await beforeReceive();
      const chunk = await link.receive(signal);
      if (chunk.hop < lastHop) queue.add(chunk.data.byteLength);
      return chunk;
    },
  });
}

type Call = (place: Place, vector: Int32Array) => Promise<void>;

/** Sums round the ring as exact sums do, without exponents. */
function carried(place: Place, vector: Int32Array): Carried {
  const { rank } = place;
  const target = new Int32Array(vector.length);
  const pieceElements = carryingOver(place).pieceBytes(vectorBytes) / 4;
  const shares = cutSegments(length, rankCount);
  const roundCount = Math.ceil(length / rankCount / pieceElements);
  const rounds = Array.from({ length: roundCount }, (_, round) =>
    shares.map(({ start, end }) => ({
      start: Math.min(end, start + round * pieceElements) * 4,
      end: Math.min(end, start + (round + 1) * pieceElements) * 4,
    })),
  );
  return {
    rounds,
    carried: new Uint8Array(vector.buffer),
    target: new Uint8Array(target.buffer),
    told: shares.map(() => new Uint8Array(0)),
    sum: null,
    made: () => undefined,
    add(round, owner, arrived) {
      const { start, end } = rounds[round]![owner]!;
      const own = new Int32Array(vector.buffer, start, (end - start) / 4);
      const others = arrived && new Int32Array(arrived.buffer, arrived.byteOffset, own.length);
      const into = owner === rank ? target.subarray(start / 4) : own;
      for (let i = 0; i < own.length; i++) into[i] = own[i]! + (others?.[i] ?? 0);
    },
  };
}

const calls: Readonly<Record<string, Call>> = {
  allReduce: (place, vector) => allReduce(place, vector, sumIntegers, never),
  async carry(place, vector) {
    const sum = carried(place, vector);
    await carryingOver(place).carry(sum, never);
    vector.set(new Int32Array(sum.target.buffer));
  },
};

/** Resolves when a number has not changed for a while. */
async function atRest(number: () => number): Promise<void> {
  for (let seen = -1; seen !== number();) {
    seen = number();
    await pause(200);
  }
}

async function runSlowly(ring: LinkRing, call: Call, heldMax: number): Promise<void> {
  const { links } = ring;
  const queues = links.map(() => new Queue());
  const held = (): number => links[before]!.sentBytes - links[slow]!.receivedBytes;
  let mostHeld = 0;
  let received = 0;
  const readSlowly = async (): Promise<void> => {
    if (received++ > 0) {
      await pause(3);
    } else {
      await atRest(() => links.reduce((sum, link) => sum + link.sentBytes + link.receivedBytes, 0));
      // Everybody else has given it all that it can before the slow one moves: a vector, in the queue or on its way.
      assert.equal(queues[before]!.bytes + held(), vectorBytes);
      assert.ok(queues[before]!.bytes > 0);
    }
    mostHeld = Math.max(mostHeld, held());
  };
  const vectors = links.map((_, rank) => new Int32Array(length).fill(rank + 1));
  await Promise.all(
    links.map((plain, rank) => {
      const wait = rank === slow ? readSlowly : () => Promise.resolve();
      const link = watched(plain, queues[rank]!, wait);
      return call({ rank, rankCount, link, collective: 0 }, vectors[rank]!);
    }),
  );
  assert.ok(mostHeld <= heldMax, `${mostHeld} bytes were on their way, beyond ${heldMax}`);
  for (const { most, bytes } of queues) {
    assert.ok(most <= vectorBytes, `${most} bytes waited to be sent, beyond ${vectorBytes}`);
    assert.equal(bytes, 0);
  }
  for (const vector of vectors) assert.ok(vector.every((value) => value === 1 + 2 + 3));
}

const chunkBytes = chunkBytesOf(vectorBytes / rankCount);
assert.equal(chunkBytes, ringChunkBytes);

/** Messages that leave, what the window lets come, and messages that wait to be taken. */
const grpcHeldMax = (leavingMax + waitingMax) * chunkBytes + receiveWindowBytes;
const kinds: readonly (readonly [string, () => Promise<LinkRing>, number])[] = [
  [
    "memory",
    () => Promise.resolve({ links: createMemoryRing(rankCount), close: () => Promise.resolve() }),
    inFlightMax * chunkBytes,
  ],
  ["gRPC", () => grpcRing(rankCount), grpcHeldMax],
  [
    "shared memory",
    () => grpcRing(rankCount, { folder: sharedMemoryFolder }),
    slotCount * chunkBytes,
  ],
];

for (const [kind, form, heldMax] of kinds) {
  const skip = kind === "shared memory" && !hasRoom(sharedMemoryFolder);
  describe(`a rank that reads slowly over ${kind}`, { skip }, () => {
    for (const [called, call] of Object.entries(calls)) {
      it(`leaves no more than ${heldMax / 2 ** 20} MiB on their way in ${called}, and a vector's bytes waiting`, async (t) => {
        const ring = await form();
        t.after(() => ring.close());
        await runSlowly(ring, call, heldMax);
      });
    }
  });
}
