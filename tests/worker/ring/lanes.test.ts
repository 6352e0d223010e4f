/** Payloads that threads with connections of their own bring: the link contract, and what becomes of it when a lane fails. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { after, describe, it, type TestContext } from "node:test";
import { fileURLToPath } from "node:url";
import { Arena } from "../../../worker/exact/arena.ts";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";
import type { LaneSend } from "../../../worker/ring/lane-messages.ts";
import type { Lane } from "../../../worker/ring/lane-thread.ts";
import { LinkBroken, type Chunk, type Link } from "../../../worker/ring/link.ts";
import { joinRing, type RingServer } from "../../../worker/ring/ring.ts";
import { describeLink } from "../../contract/link-contract.ts";
import { grpcRing, startRings } from "../../support/grpc-ring.ts";
import { linkWith } from "../../support/watched-link.ts";

const never = new AbortController().signal;

function sharedCopy(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(new SharedArrayBuffer(bytes.byteLength));
  copy.set(bytes);
  return copy;
}

/** Sends everything from memory that threads share, as gradients are. */
function sharing(link: Link): Link {
  return linkWith(link, {
    send: (chunk, signal) => link.send({ ...chunk, data: sharedCopy(chunk.data) }, signal),
  });
}

/** Threads take their time to start: all rings are formed over the same ones, by as many of them as there are ranks. */
const started: RingServer[] = [];
after(() => Promise.all(started.map((server) => server.close())));
async function serversOf(count: number): Promise<readonly RingServer[]> {
  started.push(...(await startRings(Math.max(0, count - started.length), 2)));
  return started.slice(0, count);
}

describeLink(
  "grpc-link by lanes",
  async (count) => {
    const ring = await grpcRing(count, { servers: await serversOf(count) });
    return { links: ring.links.map(sharing), close: () => ring.close() };
  },
  // Each further rank takes two threads of TypeScript, some 0.4 s of a core and 40 MB.
  [1, 2, 3, 4, 5],
);

function chunkOf(hop: number, bytes: number): Chunk {
  const data = sharedCopy(new Uint8Array(bytes).fill(hop));
  return { collective: 1, hop, offset: 0, data };
}

/** Whether a payload that the link was given no place for has come by a lane: threads share its memory then. */
async function comesByLane(from: Link, to: Link): Promise<boolean> {
  await from.send(chunkOf(1, 500_000), never);
  const { data } = await to.receive(never);
  assert.deepEqual([data.byteLength, data[0], data.at(-1)], [500_000, 1, 1]);
  return data.buffer instanceof SharedArrayBuffer;
}

describe("lanes", () => {
  it("carry large payloads in the order of all chunks, from memory that threads share", async (t) => {
    const ring = await grpcRing(2, { lanes: 3 });
    t.after(() => ring.close());
    const [from, to] = [ring.links[0]!, ring.links[1]!];
    assert.equal(await comesByLane(from, to), true);
    const sizes = [4_000_000, 10, 2_000_000, 300_000, 0, 20_000, 4_000_000, 4_000_000];
    const sent = (async () => {
      for (const [index, bytes] of sizes.entries()) await from.send(chunkOf(index, bytes), never);
      await from.flush(never);
    })();
    for (const [index, bytes] of sizes.entries()) {
      const { hop, data } = await to.receive(never);
      assert.deepEqual(
        [hop, data.byteLength, data.every((byte) => byte === index)],
        [index, bytes, true],
      );
    }
    await sent;
    assert.equal(to.receivedBytes, from.sentBytes);
  });
  it("are as many as both neighbours have, and none where one has none", async (t) => {
    for (const [lanes, expected] of [
      [[1, 4], true],
      [[0, 2], false],
      [[2, 0], false],
    ] as const) {
      const ring = await grpcRing(2, { lanes });
      t.after(() => ring.close());
      const [one, other] = [ring.links[0]!, ring.links[1]!];
      assert.equal(await comesByLane(one, other), expected);
      assert.equal(await comesByLane(other, one), expected);
    }
  });
  it("are done without where the neighbour cannot reach them, and outlive the time that others wait for that", async (t) => {
    const reachable = await grpcRing(2, { lanes: 1 });
    t.after(() => reachable.close());
    const ring = await grpcRing(2, {
      lanes: [1, 1],
      // Nobody listens at the address that is offered.
      leave: async ([first]) => (await first!.lanes.take())[0]!.end(),
    });
    t.after(() => ring.close());
    assert.equal(await comesByLane(ring.links[0]!, ring.links[1]!), false);
    // The next ring does not try again.
    assert.deepEqual(await ring.servers[1]!.lanes.take(), []);
    assert.equal(await comesByLane(reachable.links[0]!, reachable.links[1]!), true);
  });
  it("break the link on both sides when a lane's thread ends", async (t) => {
    const ring = await grpcRing(2, { lanes: 2 });
    t.after(() => ring.close());
    const lost = ring.links.map((link) =>
      assert.rejects(link.receive(never), (error: Error) => {
        assert.ok(error instanceof LinkBroken);
        assert.match(error.message, /worker-\d has left the ring/);
        return true;
      }),
    );
    await (await ring.servers[0]!.lanes.take())[1]!.end();
    await Promise.all(lost);
  });
  it("break it too when a thread ends that has been told places, and nobody waits for that thread", async (t) => {
    const ring = await grpcRing(2, { lanes: 1 });
    t.after(() => ring.close());
    const [from, to] = [ring.links[0]!, ring.links[1]!];
    const place = new Arena(8_000_000).bytes(4_000_000);
    const told = new Promise<void>((resolve) => {
      to.land(() => {
        resolve();
        return place;
      });
    });
    await from.send(chunkOf(1, place.byteLength), never);
    await told;
    await (await ring.servers[1]!.lanes.take())[0]!.end();
    await assert.rejects(from.receive(never), LinkBroken);
    // What had arrived by then may still be given out.
    await assert.rejects(async () => {
      for (;;) await to.receive(never);
    }, LinkBroken);
  });
  it("form one ring after the other", async (t) => {
    const first = await grpcRing(2, { lanes: 1 });
    t.after(() => first.close());
    assert.equal(await comesByLane(first.links[0]!, first.links[1]!), true);
    for (const link of first.links) link.close();
    const again = await grpcRing(2, { servers: first.servers });
    assert.equal(await comesByLane(again.links[0]!, again.links[1]!), true);
    await again.close();
  });
  it("write nothing more once a landing is taken back, and break the link", async (t) => {
    const ring = await grpcRing(2, { lanes: 1 });
    t.after(() => ring.close());
    const [from, to] = [ring.links[0]!, ring.links[1]!];
    const places = [new Arena(8_000_000).bytes(4_000_000), new Arena(8_000_000).bytes(4_000_000)];
    const announced = new Promise<void>((resolve) => {
      let heard = 0;
      to.land(() => {
        const place = places[heard++] ?? null;
        if (heard === 2) resolve();
        return place;
      });
    });
    const sending = Promise.all([1, 2].map((hop) => from.send(chunkOf(hop, 4_000_000), never)));
    await announced;
    to.land(null);
    const bytesWritten = (): readonly number[] =>
      places.map((place) => place.findLastIndex((byte) => byte !== 0));
    const before = bytesWritten();
    await assert.rejects(to.receive(never), LinkBroken);
    await sending.catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.deepEqual(bytesWritten(), before);
  });
});

describe("a neighbour with lanes that is killed", () => {
  it("breaks the exchange under way, and writes nothing afterwards", async (t) => {
    const elements = 15_000_000;
    const [server] = await startRings(1, 2);
    t.after(() => server!.close());
    const program = fileURLToPath(new URL("../../support/lane-neighbour.ts", import.meta.url));
    const args = ["--import", "tsx", program, server!.address, String(elements)];
    const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
    t.after(() => child.kill("SIGKILL"));
    const [line] = (await once(child.stdout, "data")) as [Buffer];
    const ring = await joinRing(server!, {
      run: "lanes",
      generation: 1n,
      rank: 0,
      members: [server!.address, line.toString().trim()].map((ringAddress, rank) => ({
        workerId: `worker-${rank}`,
        ringAddress,
        hostId: `host-${rank}`,
      })),
      ringKey: new Uint8Array(32).fill(5),
      signal: never,
    });
    t.after(() => ring.close());
    const { buffer, byteOffset, length } = new Arena(elements * 4).words(elements);
    const vector = new Int32Array(buffer, byteOffset, length);
    for (let round = 0; round < 2; round++) {
      vector.fill(round + 1);
      await ring.sumIntegers(vector, never);
      // The other's are what the last round has left there.
      assert.deepEqual(
        [vector[0], vector.at(-1)],
        [
          [1, 1],
          [3, 3],
        ][round],
      );
    }
    const broken = assert.rejects(ring.sumIntegers(vector, never), LinkBroken);
    setTimeout(() => child.kill("SIGKILL"), 5);
    await broken;
    const left = vector.slice();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.ok(Buffer.from(left.buffer).equals(new Uint8Array(buffer, byteOffset, elements * 4)));
  });
});

describe("exact sums by lanes", () => {
  const count = 3;
  const length = 900_000;

  /** What each rank ends with, and how many chunks have gone by lanes. */
  async function summed(lanes: number, t: TestContext) {
    const plain = await startRings(count, lanes);
    t.after(() => Promise.all(plain.map((server) => server.close())));
    let sent = 0;
    const counting = (lane: Lane): Lane => ({
      address: lane.address,
      serve(ends, heard) {
        const outlet = lane.serve(ends, heard);
        const send = (chunk: LaneSend): void => {
          sent += 1;
          outlet.send(chunk);
        };
        return { send, close: () => outlet.close() };
      },
      pull: (ends, heard) => lane.pull(ends, heard),
      end: () => lane.end(),
    });
    const servers = plain.map((server): RingServer => ({
      address: server.address,
      tls: server.tls,
      expect: (expectation) => server.expect(expectation),
      lanes: {
        take: async () => (await server.lanes.take()).map(counting),
        giveUp: (reason) => server.lanes.giveUp(reason),
      },
      close: () => server.close(),
    }));
    const members = servers.map(({ address }, rank) => ({
      workerId: `worker-${rank}`,
      ringAddress: address,
      hostId: `host-${rank}`,
    }));
    const sums = await Promise.all(
      servers.map(async (server, rank) => {
        const ring = await joinRing(server, {
          run: "lanes",
          generation: 1n,
          rank,
          members,
          signal: never,
          ringKey: new Uint8Array(32).fill(5),
        });
        t.after(() => ring.close());
        const sum = new ExactSum([length], 1);
        for (let step = 0; step < 3; step++) {
          const values = sum.slot(0);
          for (let i = 0; i < length; i++) values[i] = Math.sin(i * (rank + 1) + step);
          sum.begin();
          await sum.addGroup(1, count, ring, never);
        }
        return Buffer.from(sum.vector.slice().buffer);
      }),
    );
    return { sums, sent };
  }

  it("are the same bits as without, on all ranks", async (t) => {
    const [without, by] = [await summed(0, t), await summed(2, t)];
    assert.equal(without.sent, 0);
    assert.ok(by.sent > 0);
    for (const sum of by.sums) assert.ok(sum.equals(without.sums[0]!));
  });
});
