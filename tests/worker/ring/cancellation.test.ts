/**
 * Collectives that are cancelled while all ranks are in the midst of them: in one trial after the other at every look at the
 * signal, and at the beginning and the end of every call of a link. By all ranks, or by one that then leaves, as a worker does.
 */
import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { after, describe, it } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import type { ExactRing } from "../../../worker/exact/group-sum.ts";
import { sumIntegers } from "../../../worker/ring/accumulate.ts";
import { collectivesOver, type Collectives } from "../../../worker/ring/collectives.ts";
import { LinkBroken, type Link } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { sharedMemoryFolder } from "../../../foundation/host/host-id.ts";
import { hasRoom } from "../../../worker/ring/shared-memory.ts";
import type { RingServer } from "../../../worker/ring/ring-server.ts";
import { carriedBytes, carriedLength } from "../../support/carried-bytes.ts";
import { exactRingOver, exactRingShared } from "../../support/exact-ring.ts";
import { grpcRing, startRings } from "../../support/grpc-ring.ts";
import { shareBoards } from "../../support/shared-boards.ts";
import { touching, tripwire } from "../../support/tripwire.ts";

const rankCount = 3;
/** Elements: each rank's segment is enough for shared memory. */
const length = 16_000;
const never = new AbortController().signal;

/** What a rank has of one ring. */
interface Member {
  readonly rank: number;
  readonly collectives: Collectives;
  readonly exact: ExactRing;
  leave(): void;
}

interface Group {
  readonly members: readonly Member[];
  close(): Promise<void>;
}

/** Forms a ring of the same processes; says whose link is used. */
type Form = (touch: (rank: number) => void) => Promise<Group>;

function groupOver(links: readonly Link[], touch: (rank: number) => void): readonly Member[] {
  return links.map((plain, rank) => {
    const link = touching(plain, () => touch(rank));
    const place = { rank, rankCount, link, collective: 0 };
    const leave = (): void => link.close();
    return { rank, collectives: collectivesOver(place), exact: exactRingOver(place), leave };
  });
}

const overMemory: Form = (touch) => {
  const links = createMemoryRing(rankCount);
  const members = groupOver(links, touch);
  return Promise.resolve({ members, close: () => Promise.resolve(members[0]?.leave()) });
};

/** @param folder where memory is shared; null for none */
function overGrpc(folder: string | null): Form {
  let servers: Promise<readonly RingServer[]> | null = null;
  after(async () => {
    for (const server of (await servers) ?? []) await server.close();
  });
  return async (touch) => {
    servers ??= startRings(rankCount, 0);
    const ring = await grpcRing(rankCount, { servers: await servers, folder });
    return { members: groupOver(ring.links, touch), close: () => ring.close() };
  };
}

const overBoards: Form = () => {
  const shared = shareBoards(rankCount, 8192);
  const gone = new LinkBroken("a rank is gone");
  const leave = (): void => {
    for (const one of shared) one.break(gone);
  };
  const members = shared.map((collectives, rank) => ({
    rank,
    collectives,
    exact: exactRingShared(collectives),
    leave,
  }));
  const close = (): Promise<void> => {
    for (const one of shared) one.close();
    return Promise.resolve();
  };
  return Promise.resolve({ members, close });
};

/** `assert.deepEqual` of vectors, which takes longer than to sum them. */
function assertSame(vector: ArrayBufferView, expected: ArrayBufferView): void {
  const bytesOf = ({ buffer, byteOffset, byteLength }: ArrayBufferView): Buffer =>
    Buffer.from(buffer, byteOffset, byteLength);
  assert.ok(bytesOf(vector).equals(bytesOf(expected)));
}

type Call = (member: Member, signal: AbortSignal) => Promise<void>;

const values = Array.from({ length: rankCount }, (_, rank) =>
  Int32Array.from({ length }, (_value, i) => rank * 1000 + i),
);
const summed = values[1]!.map((value) => 3 * value);
const parts = Array.from({ length: rankCount }, (_, rank) =>
  new Uint8Array(20_000 + rank).fill(rank + 1),
);

/** The vector that is summed exactly, and its sum: each rank has one microbatch. */
const sums = Array.from({ length: rankCount }, () => new ExactSum([length], 1));
const microbatches = Array.from({ length: rankCount }, (_, rank) =>
  Float32Array.from({ length }, (_value, i) => Math.sin(i * (rank + 1))),
);
const exactly = await (async () => {
  const alone = new ExactSum([length], rankCount);
  const [link] = createMemoryRing(1);
  for (let rank = 0; rank < rankCount; rank++) alone.slot(rank).set(microbatches[rank]!);
  alone.begin();
  const ring = exactRingOver({ rank: 0, rankCount: 1, link: link!, collective: 0 });
  await alone.addGroup(rankCount, rankCount, ring, never);
  return alone.vector.slice();
})();

/** Each checks what it has come to, if it comes to that. */
const calls: Readonly<Record<string, Call>> = {
  async allReduce({ rank, collectives }, signal) {
    const vector = values[rank]!.slice();
    await collectives.allReduce(vector, sumIntegers, signal);
    assertSame(vector, summed);
  },
  async reduceScatter({ rank, collectives }, signal) {
    const vector = values[rank]!.slice();
    const { start, end } = await collectives.reduceScatter(vector, sumIntegers, signal);
    assertSame(vector.subarray(start, end), summed.subarray(start, end));
  },
  async allGather({ rank, collectives }, signal) {
    const sizes = parts.map(({ byteLength }) => byteLength);
    const gathered = await collectives.allGather(parts[rank]!, sizes, signal);
    for (const [of, part] of gathered.entries()) assertSame(part, parts[of]!);
  },
  async broadcast({ rank, collectives }, signal) {
    const bytes = new Uint8Array(20_000).fill(rank);
    await collectives.broadcast(bytes, 1, signal);
    assert.ok(bytes.every((byte) => byte === 1));
  },
  barrier: ({ collectives }, signal) => collectives.barrier(signal),
  async carry({ rank, exact }, signal) {
    const own = new Uint8Array(carriedLength).fill(rank);
    const carried = carriedBytes(rank, rankCount, own);
    await exact.carrying?.carry(carried, signal);
    if (exact.carrying !== null) assert.ok(carried.target.every((byte) => byte === 1 + 0 + 1 + 2));
  },
  /** The same sums in every ring, as a step that is done again. */
  async addGroup({ rank, exact }, signal) {
    const sum = sums[rank]!;
    sum.slot(0).set(microbatches[rank]!);
    sum.begin();
    await sum.addGroup(1, rankCount, exact, signal);
    assertSame(sum.vector, exactly);
  },
};

/** Whose signal is aborted; null for one that all share. */
type Whose = number | null;

interface Aborted {
  readonly form: Form;
  readonly call: Call;
  readonly whose: Whose;
}

/**
 * Aborts a call at one moment of it. The ring is a fresh one of processes that have been through all earlier moments: it is shown to
 * work first.
 * @returns whether it came to that moment, and how the ranks' calls have ended: null where they have not failed
 */
async function abortAt(at: number, { form, call, whose }: Aborted) {
  const reason = new Error("no longer wanted");
  const wire = tripwire(at, reason);
  let begun = false;
  const isMeant = (rank: number): boolean => whose === null || whose === rank;
  const group = await form((rank) => {
    if (begun && isMeant(rank)) wire.touch();
  });
  const { members } = group;
  await Promise.all(members.map((member) => call(member, never)));
  begun = true;
  const signals = members.map(({ rank }) =>
    isMeant(rank) ? wire.signal : new AbortController().signal,
  );
  const ends = await Promise.all(
    members.map(async (member, rank) => {
      try {
        await call(member, signals[rank]!);
        return null;
      } catch (error) {
        if (whose !== null) member.leave();
        return error;
      }
    }),
  );
  begun = false;
  await turn();
  for (const signal of signals) assert.deepEqual(getEventListeners(signal, "abort"), []);
  await group.close();
  for (const [rank, end] of ends.entries()) {
    const isOwn = end === null || end === reason;
    if (isMeant(rank)) assert.ok(isOwn, `rank ${rank} ended with ${String(end)}`);
    else
      assert.ok(
        end === null || end instanceof LinkBroken,
        `rank ${rank} ended with ${String(end)}`,
      );
  }
  return { came: wire.moments >= at, ends };
}

/** Aborts a call at each of its moments. @returns how many there are, and at how many of them a call was given up */
async function abortAtAll(what: Aborted) {
  let givenUp = 0;
  for (let at = 1; ; at++) {
    const { came, ends } = await abortAt(at, what);
    if (!came) {
      assert.deepEqual(new Set(ends), new Set([null]));
      return { moments: at - 1, givenUp };
    }
    if (ends.some((end) => end !== null)) givenUp += 1;
  }
}

const everyCall = Object.keys(calls);

/** @param signals whose are aborted */
function describeCancellation(
  name: string,
  form: Form,
  { signals, called }: { readonly signals: readonly Whose[]; readonly called: readonly string[] },
): void {
  describe(`a collective over ${name}, cancelled at any moment`, () => {
    for (const each of called) {
      for (const whose of signals) {
        const by = whose === null ? "all ranks" : `rank ${whose}`;
        it(`${each} ends with the reason of ${by}, and a fresh ring works`, async () => {
          const { moments, givenUp } = await abortAtAll({ form, call: calls[each]!, whose });
          assert.ok(givenUp > 0 && givenUp <= moments);
        });
      }
    }
  });
}

describeCancellation("memory", overMemory, { signals: [null, 1], called: everyCall });
// Each moment takes a ring of its own.
describeCancellation("gRPC", overGrpc(null), {
  signals: [1],
  called: ["allReduce", "broadcast", "carry"],
});
if (hasRoom(sharedMemoryFolder)) {
  describeCancellation("shared memory", overGrpc(sharedMemoryFolder), {
    signals: [1],
    called: ["allReduce", "broadcast", "addGroup"],
  });
  // Nothing is carried there.
  describeCancellation("boards", overBoards, {
    signals: [null, 1],
    called: everyCall.filter((each) => each !== "carry"),
  });
}
