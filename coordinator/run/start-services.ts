/**
 * What runs beside a run: NATS and the bus, the events file, the metrics page. A run goes on without NATS.
 */
import { randomUUID } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import type { LaunchSettings } from "../../foundation/job/settings.ts";
import type { MetricsServer } from "../../foundation/telemetry/metrics-server.ts";
import { spawnGuarded } from "../launch/guard.ts";
import { partialPattern } from "../checkpoint/write-aside.ts";
import { watchOver } from "../launch/janitor.ts";
import { connectBus } from "../nats/bus.ts";
import type { Bus } from "../nats/bus.ts";
import {
  controlAddressFile,
  removeControlAddress,
  writeControlAddress,
} from "../nats/control-address.ts";
import { startNatsServer } from "../nats/nats-server.ts";
import { Telemetry } from "../telemetry/telemetry.ts";
import type { Closers } from "./closers.ts";
import type { Clock } from "./run-context.ts";
import { eventCount, openEvents } from "./run-events.ts";
import type { EventSink } from "./run-events.ts";

/** What the services need. */
export interface ServiceOptions {
  readonly run: string;
  readonly outputDir: string;
  readonly launch: LaunchSettings;
  readonly natsServerFile: string;
  readonly env: NodeJS.ProcessEnv;
  readonly clock: Clock;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

/** The services, running. */
export interface Services {
  readonly bus: Bus;
  readonly events: EventSink;
  readonly telemetry: Telemetry;
  readonly metrics: MetricsServer;
  /** URL of NATS that workers are told. */
  readonly workerNatsUrl: string;
}

const natsGraceMs = 1_000;
const natsFolder = "nats";
/** In the folder of NATS: the mark of the start that it is of. */
const startFile = "start";
const anyAddress = new Set(["0.0.0.0", "::", "[::]"]);

/** Starts them; each is closed by `closers`. Throws BadInput for an address that cannot be used. */
export async function startServices(options: ServiceOptions, closers: Closers): Promise<Services> {
  const { run, outputDir, clock, say, launch } = options;
  const telemetry = new Telemetry({ run });
  const metrics = await telemetry.serve(launch.metricsListen);
  closers.add(() => metrics.close());
  const start = randomUUID();
  closers.add(
    watchOver(outputDir, start, [
      { markedFile: controlAddressFile, pattern: partialPattern },
      { markedFile: controlAddressFile, pattern: controlAddressFile },
      { markedFile: join(natsFolder, startFile), pattern: natsFolder },
    ]),
  );
  const urls = await natsUrls(options, start, closers);
  const bus = connectBus({
    url: urls.coordinator,
    run,
    firstSequence: (await eventCount(join(outputDir, "events.jsonl"))) + 1,
    now: clock.now,
    say,
    onAnswer: (answer) => telemetry.commandAnswered(answer),
  });
  closers.add(() => bus.close());
  telemetry.followBus(() => bus.state);
  const events = openEvents(join(outputDir, "events.jsonl"), bus, say);
  closers.add(() => events.close());
  await writeControlAddress(outputDir, { url: urls.operator, run }, start);
  closers.add(() => removeControlAddress(outputDir));
  return { bus, events, telemetry, metrics, workerNatsUrl: urls.worker };
}

interface NatsUrls {
  readonly coordinator: string;
  readonly worker: string;
  readonly operator: string;
}

async function natsUrls(
  options: ServiceOptions,
  start: string,
  closers: Closers,
): Promise<NatsUrls> {
  const { launch, natsServerFile, outputDir, env, signal, say } = options;
  if (launch.nats !== null) {
    return { coordinator: launch.nats, worker: launch.nats, operator: launch.nats };
  }
  // Workers of other machines reach our NATS where they reach us.
  const host = launch.listen.slice(0, launch.listen.lastIndexOf(":"));
  const folder = join(outputDir, natsFolder);
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await writeFile(join(folder, startFile), start);
  const server = await startNatsServer({
    natsServerFile,
    folder,
    spawn: (command, args) =>
      spawnGuarded(command, args, { env, output: "ignore", graceMs: natsGraceMs }).process,
    signal,
    say,
    ...(launch.spawnWorkers ? {} : { listenHost: host }),
    ...(anyAddress.has(host) ? { advertiseHost: hostname() } : {}),
  });
  closers.add(() => server.stop());
  return { coordinator: server.url, worker: server.workerUrl, operator: server.operatorUrl };
}
