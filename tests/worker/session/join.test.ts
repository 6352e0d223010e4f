import assert from "node:assert/strict";
import { createServer } from "node:net";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import { verifyProof } from "../../../proto/auth.ts";
import { CoordinatorClient } from "../../../worker/session/coordinator-client.ts";
import { joinRun, pauseAfter, type JoinOptions } from "../../../worker/session/join.ts";
import { Session } from "../../../worker/session/session.ts";
import { ScriptedCoordinator } from "../../support/scripted-coordinator.ts";

const script = { run: "spring", joinToken: "s3cret" };

function optionsFor(coordinator: string, changes: Partial<JoinOptions> = {}): JoinOptions {
  return {
    coordinator,
    run: "",
    joinToken: script.joinToken,
    tlsFiles: null,
    introduction: {
      ringAddress: "127.0.0.1:4711",
      hostId: "host",
      processId: 42,
      environment: { cpu: "test" },
      metricsAddress: "",
    },
    waitMs: 20_000,
    nowMs: () => performance.now(),
    onRetry: () => undefined,
    signal: new AbortController().signal,
    ...changes,
  };
}

async function freePort(): Promise<number> {
  const probe = createServer();
  await new Promise<void>((resolve) => probe.listen(0, "127.0.0.1", resolve));
  const address = probe.address();
  await new Promise((resolve) => probe.close(resolve));
  if (address === null || typeof address === "string") throw new Error("no port");
  return address.port;
}

describe("joinRun", () => {
  it("proves the token without sending it", async () => {
    const coordinator = await ScriptedCoordinator.start(script);
    const client = new CoordinatorClient(coordinator.address, null);
    try {
      const membership = await joinRun(client, optionsFor(coordinator.address));
      assert.equal(membership.identity.run, "spring");
      assert.equal(membership.identity.workerId, "worker-0");
      assert.equal(membership.natsUrl, null);
      const session = new Session(client, membership, () => ({
        state: "waiting",
        generation: 0n,
        residentBytes: 1,
      }));
      const worker = await coordinator.worker(0);
      const { introduction } = worker;
      assert.ok(verifyProof(script.joinToken, introduction, introduction.proof));
      assert.ok(!JSON.stringify(introduction.environment).includes(script.joinToken));
      assert.equal(introduction.processId, 42);
      await worker.heard(/waiting/);
      await session.close();
      await worker.left();
    } finally {
      client.close();
      coordinator.close();
    }
  });

  it("refuses a wrong token as the user's mistake", async () => {
    const coordinator = await ScriptedCoordinator.start(script);
    const client = new CoordinatorClient(coordinator.address, null);
    try {
      const joining = joinRun(client, optionsFor(coordinator.address, { joinToken: "other" }));
      await assert.rejects(joining, (error: unknown) => {
        assert.ok(error instanceof BadInput);
        assert.match(error.message, /--join-token-file/);
        assert.ok(!error.message.includes("other,"));
        return true;
      });
    } finally {
      client.close();
      coordinator.close();
    }
  });

  it("waits for a coordinator that starts later", async () => {
    const port = await freePort();
    const address = `127.0.0.1:${port}`;
    const client = new CoordinatorClient(address, null);
    let coordinator: ScriptedCoordinator | null = null;
    let starting: Promise<void> | null = null;
    try {
      const membership = await joinRun(
        client,
        optionsFor(address, {
          onRetry: () => {
            starting ??= ScriptedCoordinator.start(script, port).then((started) => {
              coordinator = started;
            });
          },
        }),
      );
      assert.ok(coordinator !== null, "it was refused at first");
      assert.equal(membership.identity.workerId, "worker-0");
    } finally {
      client.close();
      (coordinator as ScriptedCoordinator | null)?.close();
    }
  });

  it("gives up after the wait, naming the address", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const client = new CoordinatorClient(address, null);
    try {
      await assert.rejects(joinRun(client, optionsFor(address, { waitMs: 0 })), (error: Error) =>
        error.message.includes(address),
      );
    } finally {
      client.close();
    }
  });

  it("stops waiting when told to", async () => {
    const address = `127.0.0.1:${await freePort()}`;
    const client = new CoordinatorClient(address, null);
    const leaving = new AbortController();
    const reason = new Error("told to leave");
    try {
      const joining = joinRun(
        client,
        optionsFor(address, { signal: leaving.signal, onRetry: () => leaving.abort(reason) }),
      );
      await assert.rejects(joining, (error) => error === reason);
    } finally {
      client.close();
    }
  });

  it("pauses longer and longer, up to five seconds", () => {
    assert.deepEqual(
      [1, 2, 3, 4, 5, 6, 7, 99].map(pauseAfter),
      [200, 400, 800, 1600, 3200, 5000, 5000, 5000],
    );
  });
});
