/** The roster behind the real gRPC server, spoken to by the worker's own client. */
import assert from "node:assert/strict";
import { afterEach, describe, it } from "node:test";
import { status } from "@grpc/grpc-js";
import { Roster, type FleetEvent } from "../../../coordinator/server/roster.ts";
import {
  startCoordinatorServer,
  type CoordinatorServer,
} from "../../../coordinator/server/coordinator-server.ts";
import { BadInput } from "../../../foundation/bad-input.ts";
import { leaseMs } from "../../../proto/limits.ts";
import { CoordinatorClient, type Identity } from "../../../worker/session/coordinator-client.ts";
import { SessionLost } from "../../../worker/session/directive-queue.ts";
import { grpcFailure, joinRun, type Membership } from "../../../worker/session/join.ts";
import { Session } from "../../../worker/session/session.ts";

const never = new AbortController().signal;
const joinToken = "the-token";

interface Stage {
  readonly roster: Roster;
  readonly server: CoordinatorServer;
  nowMs: number;
}

const closers: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of closers.splice(0).toReversed()) await close();
});

async function setStage(seats: number): Promise<Stage> {
  const stage = { nowMs: 0 };
  const run = "trial";
  const nowMs = (): number => stage.nowMs;
  const roster = new Roster({ run, joinToken, seats, natsUrl: "", nowMs, idOf: () => null });
  const server = await startCoordinatorServer({
    run,
    listen: "127.0.0.1:0",
    tls: null,
    roster,
    source: {
      readState: () => [],
      // eslint-disable-next-line
      async *readMicrobatches() {},
      writeState: () => Promise.resolve({ bytes: 0, unread: false }),
    },
  });
  closers.push(() => server.close());
  return Object.assign(stage, { roster, server });
}

async function join(stage: Stage, token = joinToken): Promise<Membership> {
  const client = clientOf(stage);
  return joinRun(client, {
    coordinator: stage.server.address,
    run: "trial",
    joinToken: token,
    tlsFiles: null,
    introduction: {
      ringAddress: "127.0.0.1:1",
      hostId: "here",
      processId: 1,
      environment: {},
      metricsAddress: "",
    },
    waitMs: 0,
    nowMs: () => 0,
    onRetry: () => undefined,
    signal: never,
  });
}

function clientOf(stage: Stage): CoordinatorClient {
  const client = new CoordinatorClient(stage.server.address, null);
  closers.push(() => client.close());
  return client;
}

function attend(stage: Stage, membership: Membership): Session {
  const client = new CoordinatorClient(stage.server.address, null);
  const idle = { state: "waiting", generation: 0n, residentBytes: 5 };
  const session = new Session(client, membership, () => idle);
  closers.push(() => session.close());
  return session;
}

async function next<Kind extends FleetEvent["kind"]>(
  stage: Stage,
  kind: Kind,
): Promise<Extract<FleetEvent, { kind: Kind }>> {
  const event = await stage.roster.events.take(never);
  assert.equal(event.kind, kind);
  return event as Extract<FleetEvent, { kind: Kind }>;
}

/** Status of a call that carries this identity. */
async function statusAs(stage: Stage, identity: Identity): Promise<status> {
  try {
    for await (const _ of clientOf(stage).readState(identity, 1n, never)) assert.fail("served");
    return status.OK;
  } catch (error) {
    return grpcFailure(error).code;
  }
}

describe("roster behind gRPC", () => {
  it("seats who proves the token, hears its heartbeats, and tells when it closes", async () => {
    const stage = await setStage(2);
    const membership = await join(stage);
    assert.equal(membership.identity.workerId, "worker-0");
    assert.equal(membership.natsUrl, null);
    assert.deepEqual(stage.roster.members(), [], "it does not attend yet");
    const session = attend(stage, membership);
    assert.equal((await next(stage, "joined")).member.workerId, "worker-0");
    while (stage.roster.statusOf("worker-0")?.residentBytes !== 5) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(await statusAs(stage, membership.identity), status.OK);
    await session.close();
    assert.equal((await next(stage, "left")).reason, "it closed its connection");
    assert.deepEqual(stage.roster.members(), []);
  });

  it("refuses a wrong token, a full run and another run", async () => {
    const stage = await setStage(1);
    await assert.rejects(join(stage, "another"), BadInput);
    await join(stage);
    await assert.rejects(join(stage), /the run has all of its 1 workers/u);
    await assert.rejects(clientOf(stage).challenge("other", never), { code: status.NOT_FOUND });
  });

  it("refuses a wrong credential, another's, and that of an old incarnation", async () => {
    const stage = await setStage(2);
    const first = await join(stage);
    const { identity } = first;
    const other = await join(stage);
    const forged = { ...identity, credential: identity.credential.replaceAll(/./gu, "0") };
    assert.equal(await statusAs(stage, forged), status.UNAUTHENTICATED);
    const swapped = { ...identity, credential: other.identity.credential };
    assert.equal(await statusAs(stage, swapped), status.UNAUTHENTICATED);

    const session = attend(stage, first);
    await next(stage, "joined");
    await session.close();
    await next(stage, "left");
    const again = await join(stage);
    assert.deepEqual(
      [again.identity.workerId, again.identity.incarnation],
      [identity.workerId, identity.incarnation + 1n],
    );
    assert.equal(await statusAs(stage, identity), status.UNAUTHENTICATED);
    const late = { ...again.identity, incarnation: identity.incarnation };
    assert.equal(await statusAs(stage, late), status.UNAUTHENTICATED);
    assert.equal(await statusAs(stage, again.identity), status.OK);
    const old = attend(stage, first);
    await assert.rejects(async () => {
      for await (const _ of old.directives) assert.fail("it is told something");
    }, SessionLost);
  });

  it("ends the membership of who is silent for a lease, and tells it so", async () => {
    const stage = await setStage(1);
    const session = attend(stage, await join(stage));
    await next(stage, "joined");
    stage.roster.checkLeases();
    assert.equal(stage.roster.members().length, 1);
    // No heartbeat can come in between: nothing is awaited.
    stage.nowMs += leaseMs + 1;
    stage.roster.checkLeases();
    assert.match(
      (await next(stage, "left")).reason,
      /nothing heard for 30\.0 s, the lease is 30 s/u,
    );
    await assert.rejects(async () => {
      for await (const _ of session.directives) assert.fail("it is told something");
    }, SessionLost);
    assert.equal(await statusAs(stage, session.membership.identity), status.UNAUTHENTICATED);
  });
});
