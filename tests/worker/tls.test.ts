/** Mutual TLS between the real ends: coordinator and worker, ring neighbours. Whoever lacks a certificate is kept out. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it, type TestContext } from "node:test";
import { Roster } from "../../coordinator/server/roster.ts";
import { startCoordinatorServer } from "../../coordinator/server/coordinator-server.ts";
import { BadInput } from "../../foundation/bad-input.ts";
import { readTlsIdentity, type TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { connectGrpcLink } from "../../worker/ring/grpc-link.ts";
import { startRingServer } from "../../worker/ring/ring-server.ts";
import { CoordinatorClient } from "../../worker/session/coordinator-client.ts";
import { joinRun, type Membership } from "../../worker/session/join.ts";
import { makeAuthority, skipTls } from "../support/certificates.ts";
import { grpcRing } from "../support/grpc-ring.ts";
import { describeLink, type LinkRing } from "../contract/link-contract.ts";

const joinToken = "a-token-of-this-test";

interface Setting {
  readonly identity: (name: string) => TlsIdentity;
  readonly stranger: TlsIdentity;
}

function setUp(folder: string): Setting {
  const ours = makeAuthority(folder, "ours");
  const theirs = makeAuthority(folder, "theirs");
  return {
    identity: (name) => readTlsIdentity(ours.issue(name), new Date()),
    stranger: readTlsIdentity(theirs.issue("stranger"), new Date()),
  };
}

async function serve(t: TestContext, tls: TlsIdentity | null): Promise<string> {
  const run = "secured";
  const nowMs = (): number => performance.now();
  const roster = new Roster({ run, joinToken, seats: 1, natsUrl: "", nowMs, idOf: () => null });
  const nothing = { readState: () => [], readMicrobatches: async function* () {} };
  const server = await startCoordinatorServer({
    run,
    listen: "127.0.0.1:0",
    roster,
    source: { ...nothing, writeState: () => Promise.resolve({ bytes: 0, unread: false }) },
    tls,
  });
  t.after(() => server.close());
  return server.address;
}

async function joinAt(
  t: TestContext,
  address: string,
  tls: TlsIdentity | null,
  retried: (reason: string) => void = (reason) => assert.fail(reason),
): Promise<Membership> {
  const client = new CoordinatorClient(address, tls);
  t.after(() => client.close());
  return joinRun(client, {
    coordinator: address,
    run: "",
    joinToken,
    tlsFiles: tls?.files ?? null,
    introduction: {
      ringAddress: "127.0.0.1:1",
      hostId: "here",
      processId: 1,
      environment: {},
      metricsAddress: "",
    },
    waitMs: 20_000,
    nowMs: () => performance.now(),
    onRetry: retried,
    signal: t.signal,
  });
}

async function securedRing(identities: readonly (TlsIdentity | null)[], signal: AbortSignal) {
  const servers = await Promise.all(
    identities.map((tls) =>
      startRingServer({ listenHost: "127.0.0.1", advertiseHost: "127.0.0.1", tls }),
    ),
  );
  const count = servers.length;
  const members = servers.map((server, rank) => ({
    workerId: `worker-${rank}`,
    ringAddress: server.address,
    hostId: `host-${rank}`,
  }));
  const links = servers.map((server, rank) =>
    connectGrpcLink(server, {
      run: "secured",
      generation: 1n,
      rank,
      workerId: `worker-${rank}`,
      hostId: `host-${rank}`,
      left: members[(rank + count - 1) % count]!,
      right: members[(rank + 1) % count]!,
      ringKey: new Uint8Array(32).fill(7),
      sharedMemoryFolder: null,
      signal,
    }),
  );
  const close = async (): Promise<void> => {
    await Promise.all(servers.map((server) => server.close()));
  };
  return { links, close };
}

if (skipTls !== false) {
  describe("mutual TLS", () => {
    it("is tested", { skip: skipTls }, () => undefined);
  });
} else {
  const folder = mkdtempSync(join(tmpdir(), "ringmaster-mtls-"));
  after(() => rmSync(folder, { recursive: true }));
  const { identity, stranger } = setUp(folder);
  const [one, two, three] = ["one", "two", "three"].map(identity);

  describeLink(
    "grpc-link with mutual TLS",
    async (count): Promise<LinkRing> => {
      const identities = Array.from(
        { length: count },
        (_, rank) => [one!, two!, three!][rank % 3]!,
      );
      const ring = await securedRing(identities, new AbortController().signal);
      const links = await Promise.all(ring.links);
      return {
        links,
        close: () => {
          for (const link of links) link.close();
          return ring.close();
        },
      };
    },
    [1, 2, 3, 4, 5, 6, 7, 8, 9],
  );

  describe("mutual TLS", () => {
    it("lets a worker of the same authority join", async (t) => {
      const address = await serve(t, one!);
      assert.equal((await joinAt(t, address, two!)).identity.workerId, "worker-0");
    });
    it("refuses a coordinator of another authority, and one in plain text", async (t) => {
      const ca = /--tls-ca, .*\.crt: expected the authority of the coordinator at .*, found /;
      for (const [server, own, found] of [
        [one!, stranger, /self-signed certificate in certificate chain/],
        [null, one!, /found no TLS$/],
      ] as const) {
        const address = await serve(t, server);
        await assert.rejects(joinAt(t, address, own), (error) => {
          assert.ok(error instanceof BadInput);
          assert.match(error.message, ca);
          assert.match(error.message, found);
          return true;
        });
      }
    });
    it("keeps a worker out that has no certificate or one of another authority; it is told what may be", async (t) => {
      const address = await serve(t, one!);
      // It takes the coordinator for good, but shows what the coordinator does not take.
      const mixed = { ...stranger, ca: one!.ca };
      for (const [own, reason] of [
        [mixed, /perhaps it does not take our --tls-cert/],
        [null, /perhaps it has TLS and we have no --tls-cert/],
      ] as const) {
        const enough = new Error("enough");
        let told = "";
        const joining = joinAt(t, address, own, (why) => {
          told = why;
          throw enough;
        });
        await assert.rejects(joining, enough);
        assert.match(told, reason);
      }
    });
    it("covers what comes by lanes", async (t) => {
      const ring = await grpcRing(2, { lanes: 1, tls: one! });
      t.after(() => ring.close());
      const data = new Uint8Array(new SharedArrayBuffer(3_000_000)).fill(7);
      const signal = t.signal;
      await ring.links[0]!.send({ collective: 0, hop: 0, offset: 0, data }, signal);
      const arrived = (await ring.links[1]!.receive(signal)).data;
      // Only a lane brings it into memory that threads share.
      assert.ok(arrived.buffer instanceof SharedArrayBuffer && arrived.every((byte) => byte === 7));
      const [lane] = await ring.servers[0]!.lanes.take();
      const url = new URL(`http://${lane!.address}`);
      const plain = connect(Number(url.port), url.hostname);
      t.after(() => plain.destroy());
      // A server with certificates answers this with an alert, or not at all, and ends the connection.
      plain.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
      const [answer] = (await Promise.race([once(plain, "data"), once(plain, "close")])) as [
        unknown,
      ];
      const alert = 0x15;
      assert.ok(!(answer instanceof Buffer) || answer[0] === alert);
    });
    it("keeps a neighbour of another authority out of the ring, and one in plain text", async () => {
      for (const [odd, why] of [
        [stranger, /certificate/],
        [null, /no TLS|has left the ring/],
      ] as const) {
        const stop = new AbortController();
        const ring = await securedRing([one!, odd], stop.signal);
        const outcomes = ring.links.map((link) =>
          link.then(
            () => "connected",
            (error: unknown) => String(error),
          ),
        );
        const first = await Promise.race(outcomes);
        assert.match(first, /has left the ring/);
        assert.match(first, why);
        stop.abort(new Error("enough"));
        assert.ok(!(await Promise.all(outcomes)).includes("connected"));
        await ring.close();
      }
    });
  });
}
