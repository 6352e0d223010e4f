/** A worker's loop in this process: real session, real ring, an engine of the test's choice. */
import type { Engine } from "../../worker/engine/engine.ts";
import { plainInput } from "./plain-engine.ts";
import type { Neighbour } from "../../worker/ring/link-options.ts";
import { startRingServer } from "../../worker/ring/ring.ts";
import { CoordinatorClient } from "../../worker/session/coordinator-client.ts";
import { joinRun } from "../../worker/session/join.ts";
import { Session } from "../../worker/session/session.ts";
import { Presence } from "../../worker/presence.ts";
import { WorkerLife } from "../../worker/train.ts";

/** A running worker. */
export interface WorkerUnderTest {
  readonly workerId: string;
  readonly place: Neighbour;
  /** Its end: the reason of Finish, or what went wrong. */
  readonly ended: Promise<string>;
  /** Leaves the run and frees everything. */
  close(): Promise<void>;
}

/** Joins and starts to work. */
export async function startWorker(
  coordinator: { readonly address: string },
  options: { readonly joinToken: string; readonly engine: Engine; readonly hostId?: string },
): Promise<WorkerUnderTest> {
  const hostId = options.hostId ?? "host";
  const ringServer = await startRingServer({
    listenHost: "127.0.0.1",
    advertiseHost: "127.0.0.1",
    tls: null,
  });
  const client = new CoordinatorClient(coordinator.address, null);
  const membership = await joinRun(client, {
    coordinator: coordinator.address,
    run: "",
    joinToken: options.joinToken,
    tlsFiles: null,
    introduction: {
      ringAddress: ringServer.address,
      hostId,
      processId: 1,
      environment: {},
      metricsAddress: "",
    },
    waitMs: 10_000,
    nowMs: () => performance.now(),
    onRetry: () => undefined,
    signal: new AbortController().signal,
  });
  const presence = new Presence(() => 1);
  const session = new Session(client, membership, () => presence.pulse());
  const life = new WorkerLife({
    session,
    ringServer,
    starters: {
      startEngine: () => Promise.resolve(options.engine),
      startInput: () => Promise.resolve(plainInput),
      device: "cpu",
      cacheFolder: null,
    },
    reach: { transport: "auto" },
    observer: presence,
    onCommands: () => undefined,
    nowMs: () => performance.now(),
  });
  const ended = life.run();
  ended.catch(() => session.close());
  const { workerId } = membership.identity;
  return {
    workerId,
    place: { workerId, ringAddress: ringServer.address, hostId },
    ended,
    async close() {
      await session.close();
      await ringServer.close();
      await ended.catch(() => undefined);
      await life.close();
    },
  };
}
