import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { connectGrpcLink } from "../../../worker/ring/grpc-link.ts";
import { LinkBroken } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { startRingServer } from "../../../worker/ring/ring-server.ts";
import { sharedMemoryFolder } from "../../../foundation/host/host-id.ts";
import { hasRoom } from "../../../worker/ring/shared-memory.ts";
import { describeLink, type LinkRing } from "../../contract/link-contract.ts";
import { grpcRing } from "../../support/grpc-ring.ts";

const never = new AbortController().signal;

function memoryRing(count: number): Promise<LinkRing> {
  const links = createMemoryRing(count);
  return Promise.resolve({
    links,
    close: () => {
      for (const link of links) link.close();
      return Promise.resolve();
    },
  });
}

describeLink("memory-link", memoryRing, [1, 2, 3, 4, 5, 6, 7, 8, 9]);
describeLink("grpc-link", (count) => grpcRing(count), [1, 2, 3, 4, 5, 6, 7, 8, 9]);
if (hasRoom(sharedMemoryFolder)) {
  describeLink(
    "grpc-link over shared memory",
    (count) => grpcRing(count, { folder: sharedMemoryFolder }),
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );
  describe("shared memory", () => {
    it("leaves no name behind while the ring lives", async (t) => {
      // Other tests share memory at the same time.
      const folder = mkdtempSync(join(sharedMemoryFolder, "links-test-"));
      t.after(() => rmSync(folder, { recursive: true }));
      const ring = await grpcRing(4, { folder });
      const names = readdirSync(folder);
      await ring.close();
      assert.deepEqual(names, []);
    });
    it("still gives what the left neighbour had brought before it left", async (t) => {
      const ring = await grpcRing(2, { folder: sharedMemoryFolder });
      t.after(() => ring.close());
      const [from, to] = [ring.links[0]!, ring.links[1]!];
      const chunks = [1, 2, 3].map((hop) => {
        const data = new Uint8Array(50_000).fill(hop);
        return { collective: 0, hop, offset: 0, data };
      });
      for (const chunk of chunks) await from.send(chunk, never);
      const first = await to.receive(never);
      assert.deepEqual({ ...first, data: first.data.slice() }, chunks[0]);
      from.close();
      // It has heard of it by then, as a rule.
      await pause(100);
      for (const chunk of chunks.slice(1)) assert.deepEqual(await to.receive(never), chunk);
      await assert.rejects(to.receive(never), LinkBroken);
    });
  });
} else {
  describe("shared memory", () => {
    it("is tested", { skip: `${sharedMemoryFolder} is missing or small` }, () => undefined);
  });
}

describe("a landing that is taken back", () => {
  it("breaks the link while a payload is on its way there, which is written no further", async () => {
    const ring = await grpcRing(2);
    const place = new Uint8Array(3_000_000);
    const [from, to] = [ring.links[0]!, ring.links[1]!];
    to.land(() => {
      // Behind what has come with the head, before the rest is read.
      queueMicrotask(() => to.land(null));
      return place;
    });
    const waiting = to.receive(never);
    const data = new Uint8Array(place.byteLength).fill(1);
    await from.send({ collective: 0, hop: 0, offset: 0, data }, never);
    await assert.rejects(waiting, LinkBroken);
    const written = place.findLastIndex((byte) => byte === 1) + 1;
    assert.ok(written < place.byteLength / 2, `${written} bytes were written`);
    await ring.close();
    assert.equal(place.findLastIndex((byte) => byte === 1) + 1, written);
  });
});

describe("ring server", () => {
  it("lets nobody in without the ring key", async () => {
    const server = await startRingServer({
      listenHost: "127.0.0.1",
      advertiseHost: "127.0.0.1",
      tls: null,
    });
    const member = (workerId: string) => ({
      workerId,
      ringAddress: server.address,
      hostId: "here",
    });
    const options = {
      run: "links-test",
      generation: 1n,
      rank: 0,
      hostId: "here",
      sharedMemoryFolder: null,
      signal: AbortSignal.timeout(20_000),
    };
    const right = connectGrpcLink(server, {
      ...options,
      workerId: "worker-0",
      left: member("worker-0"),
      right: member("worker-1"),
      ringKey: new Uint8Array(32).fill(1),
    });
    await assert.rejects(right, /worker-0 has left the ring/);
    await server.close();
  });
});
