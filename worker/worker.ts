/** A worker put together: pages, ring service, membership and session around the loop of `train.ts`. */
import { create } from "@bufbuild/protobuf";
import type { Logger } from "pino";
import { BadInput } from "../foundation/bad-input.ts";
import { cacheFolder } from "../foundation/cache/cache-folder.ts";
import { availableCores } from "../foundation/host/available-cores.ts";
import { formatAddress, parseListenAddress } from "../foundation/telemetry/listen-address.ts";
import { readTlsIdentity } from "../foundation/tls/tls-identity.ts";
import { WorkerFailedSchema, WorkerLeavingSchema } from "../proto/gen/ringmaster/v1/run_pb.ts";
import { reportTextMax } from "../proto/limits.ts";
import { listenToCommands } from "./commands.ts";
import { EarlyEngine } from "./early-engine.ts";
import { startEngineThread } from "./engine/engine-thread.ts";
import { presentGpus, refuseMissingGpus } from "../foundation/host/graphics-cards.ts";
import { setEngineEnvironment } from "./engine-environment.ts";
import { readHostId } from "../foundation/host/host-id.ts";
import { readEnvironment } from "./host.ts";
import { abortable } from "../foundation/abortable.ts";
import { startInputThread } from "./input/input-thread.ts";
import { ensureBinding } from "./native.ts";
import type { WorkerOptions } from "./options.ts";
import { Presence } from "./presence.ts";
import { MemoryFiles } from "./exact/memory-files.ts";
import { loadCarriers } from "./ring/carrier-addon.ts";
import { loadNativeLoops } from "./exact/native-loops.ts";
import { exactAddonFile } from "../foundation/native/addon-files.ts";
import { laneCount } from "./ring/lane-count.ts";
import { startRingServer, type RingServer } from "./ring/ring.ts";
import { CoordinatorClient } from "./session/coordinator-client.ts";
import { SessionLost } from "./session/directive-queue.ts";
import { joinRun } from "./session/join.ts";
import { Session } from "./session/session.ts";
import { WorkerTelemetry } from "./telemetry/worker-telemetry.ts";
import { WorkerLife } from "./train.ts";
import { observeAll, type WorkerObserver } from "./worker-observer.ts";
import { placeOf, type WorkerState } from "./worker-state.ts";

/** What a worker takes from its process. */
export interface WorkerWorld {
  /** The process's own environment: TensorFlow reads its settings there. */
  readonly env: NodeJS.ProcessEnv;
  readonly processId: number;
  readonly log: Logger;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
  readonly now: () => Date;
  /** Hears that the worker has its place in the run. */
  readonly onJoined: () => void;
  /** Asks to leave once what is under way is done; the coordinator is told, and ends it by Finish. */
  readonly parting: AbortSignal;
  /** Ends the worker wherever it is. */
  readonly signal: AbortSignal;
}

type Closer = () => Promise<void>;

/**
 * Joins a run and works for it until Finish; gives the reason of the end. Rejects with BadInput, SessionLost, the signal's
 * reason, or what went wrong, which the coordinator has then been told.
 */
export async function workFor(options: WorkerOptions, world: WorkerWorld): Promise<string> {
  const closers: Closer[] = [];
  try {
    return await joinAndWork(options, world, closers);
  } finally {
    // Latest first; one that fails must not keep the others.
    for (const close of closers.toReversed()) await close().catch(() => undefined);
  }
}

async function joinAndWork(
  options: WorkerOptions,
  world: WorkerWorld,
  closers: Closer[],
): Promise<string> {
  const { log, signal } = world;
  const visibleDevices = world.env["CUDA_VISIBLE_DEVICES"];
  refuseMissingGpus(options.device, 1, { present: presentGpus(), visibleDevices });
  const telemetry = new WorkerTelemetry();
  const page =
    options.metricsListen === null
      ? null
      : await telemetry.serve(options.metricsListen, "--metrics-listen");
  if (page !== null) closers.push(() => page.close());
  const ringServer = await serveRing(options, world);
  closers.push(() => ringServer.close());
  const native = options.native ?? (await ensureBinding(options.device, world));
  const engine = new EarlyEngine((threads) => {
    // TensorFlow itself counts the machine's cores, whatever the container may use of them.
    setEngineEnvironment(world.env, { ...options, threads: threads || availableCores() });
    return startEngineThread({ bindingFile: native.bindingFile, device: options.device });
  }, options.threads);
  closers.push(() => engine.close());
  const client = new CoordinatorClient(options.coordinator, ringServer.tls);
  closers.push(() => Promise.resolve(client.close()));
  const membership = await joinRun(client, {
    coordinator: options.coordinator,
    run: options.run,
    joinToken: options.joinToken,
    tlsFiles: options.tls,
    introduction: {
      ringAddress: ringServer.address,
      hostId: readHostId(),
      processId: world.processId,
      environment: readEnvironment(native.tensorflowVersion, options.device),
      metricsAddress: page === null ? "" : advertised(page.address, options),
    },
    waitMs: options.joinWaitMs,
    nowMs: world.nowMs,
    onRetry: (reason, pauseMs) => log.info({ reason, pauseMs }, "waiting for the coordinator"),
    signal,
  });
  const { identity } = membership;
  telemetry.joined({ run: identity.run, worker: identity.workerId });
  log.info({ worker: identity.workerId, run: identity.run }, "joined");
  world.onJoined();
  const presence = new Presence(() => process.memoryUsage.rss());
  const session = new Session(client, membership, () => presence.pulse());
  tellParting(session, world);
  const commands = await listenToCommands(membership, log);
  presence.pausing = () => commands.pausing;
  closers.push(() => commands.close());
  const life = new WorkerLife({
    session,
    ringServer,
    starters: {
      startEngine: (threads) => engine.take(threads),
      startInput: startInputThread,
      device: options.device,
      cacheFolder: cacheFolder(world.env),
    },
    ...exactMeans(options, native.bindingFile),
    observer: observeAll([presence, measure(telemetry, presence), chronicle(log)]),
    onCommands: (step, accepted) => commands.act(step, accepted),
    nowMs: world.nowMs,
  });
  closers.push(() => life.close());
  closers.push(() => session.close());
  return await tellFailure(session, abortable(life.run(), signal));
}

/** With what this worker sums gradients, and how neighbours of its host reach it. */
function exactMeans({ ringTransport }: WorkerOptions, bindingFile: string) {
  const addonFile = exactAddonFile(bindingFile);
  const files = MemoryFiles.load(addonFile);
  return {
    reach: {
      transport: ringTransport,
      memoryFiles: files,
      carriers: loadCarriers(addonFile),
    },
    arenaMeans: { files, loops: loadNativeLoops(addonFile) },
  };
}

/** Serves the ring, with the certificates that all of this worker's connections have. Throws BadInput for wrong ones. */
function serveRing(options: WorkerOptions, { now, log }: WorkerWorld): Promise<RingServer> {
  const { listen, advertiseHost, tls } = options;
  return startRingServer({
    listenHost: listen.host,
    listenPort: listen.port,
    advertiseHost,
    tls: tls === null ? null : readTlsIdentity(tls, now()),
    lanes: options.ringLanes ?? laneCount(options.threads || availableCores()),
    onLanesGivenUp: (reason) =>
      log.warn({ reason }, "no lanes: one thread moves all payloads; --ring-lanes 0 does not try"),
  });
}

/** Address of the metrics page as others reach it: its port at the advertised host. */
function advertised(address: string, { advertiseHost }: WorkerOptions): string {
  return formatAddress(advertiseHost, parseListenAddress(address, "--metrics-listen").port);
}

/** Tells the coordinator when this worker has been told to leave. */
function tellParting(session: Session, { parting, log }: WorkerWorld): void {
  const tell = (): void => {
    const reason = parting.reason instanceof Error ? parting.reason.message : "told to leave";
    log.warn(`${reason}; the step under way is finished`);
    // A session that is over ends the worker anyway.
    session
      .report({ case: "leaving", value: create(WorkerLeavingSchema, { reason }) })
      .catch(() => undefined);
  };
  if (parting.aborted) tell();
  else parting.addEventListener("abort", tell, { once: true });
}

/** Tells the coordinator why this worker ends, if it is still there. */
async function tellFailure(session: Session, work: Promise<string>): Promise<string> {
  try {
    return await work;
  } catch (error) {
    if (!(error instanceof SessionLost)) {
      const message = error instanceof Error ? error.message : String(error);
      const detail = error instanceof Error ? (error.stack ?? "") : "";
      const value = create(WorkerFailedSchema, {
        message: message.slice(0, reportTextMax),
        detail: detail.slice(0, reportTextMax),
        badInput: error instanceof BadInput,
      });
      // A coordinator that is gone cannot be told.
      await session.report({ case: "failed", value }).catch(() => undefined);
    }
    throw error;
  }
}

/** Feeds the metrics page. */
function measure(telemetry: WorkerTelemetry, presence: Presence): WorkerObserver {
  return {
    onDirective: () => undefined,
    onActivity: () => undefined,
    onState: () => {
      telemetry.readiness = presence.readiness();
    },
    onStepReduced: (reduced) => {
      telemetry.stepReduced(reduced);
      telemetry.residentMemory(process.memoryUsage.rss());
    },
    onStepApplied: () => undefined,
  };
}

/** Logs the life of the worker, for whoever wants to know every turn of it. */
function chronicle(log: Logger): WorkerObserver {
  let known = 0n;
  const tellRing = (state: WorkerState): void => {
    const { ring } = placeOf(state) ?? {};
    if (ring === undefined || ring.generation === known) return;
    known = ring.generation;
    const { rank, worldSize, hasCarrier, counters } = ring;
    log.info({ rank, worldSize, transport: counters.transport, carrier: hasCarrier }, "in a ring");
  };
  return {
    onDirective: (directive) => log.debug({ directive: directive.case }, "directive"),
    onActivity: (activity) => log.debug({ activity }, "activity"),
    onState: (state) => {
      log.debug({ state: state.kind }, "state");
      tellRing(state);
    },
    onStepReduced: ({ step, lossSum, weight, gradNorm }) =>
      log.debug({ step: Number(step), loss: lossSum / weight, gradNorm }, "step reduced"),
    onStepApplied: (step, learningRate, updateMs) =>
      log.debug({ step, learningRate, updateMs }, "step applied"),
  };
}
