/**
 * Our own nats-server: on a free port, behind the child guard like every child of the coordinator, started again on the
 * same port and store if it dies. Without `--nats` a run brings its NATS along this way.
 */
import type { ChildProcess } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdir, open, readdir, readFile, rm } from "node:fs/promises";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { natsConfigText, natsFiles, type NatsSecrets } from "./nats-config.ts";

/** Starts a program so that it cannot outlive the coordinator; `coordinator/launch/guard.ts` does. */
export type SpawnChild = (command: string, args: readonly string[]) => ChildProcess;

/** What the server needs. */
export interface NatsServerOptions {
  /** The nats-server program. */
  readonly natsServerFile: string;
  /** A folder of its own for configuration, log and store: made if absent, removed by `stop`. */
  readonly folder: string;
  readonly spawn: SpawnChild;
  /** Ends the wait for the start. */
  readonly signal: AbortSignal;
  /** Takes one line for a person: the server died, was started again, is given up. */
  readonly say: (line: string) => void;
  /** Address to listen on; 127.0.0.1 by default. */
  readonly listenHost?: string;
  /** Address that the URLs name; the one listened on by default. */
  readonly advertiseHost?: string;
  /** Makes a password of characters that need no escape in a URL; random by default. */
  readonly newSecret?: () => string;
}

/** A running server. URLs carry the credentials of the party that they are for. */
export interface NatsServer {
  /** For the coordinator: may do everything. */
  readonly url: string;
  /** For workers: may listen to accepted commands. */
  readonly workerUrl: string;
  /** For `coordinator control` and other clients of the user's: may send commands and read events. */
  readonly operatorUrl: string;
  readonly port: number;
  /** Process id of the nats-server that runs now. */
  pid(): Promise<number>;
  /** Ends the server and removes its folder. */
  stop(): Promise<void>;
}

/** Time that a server has to listen, in milliseconds, and the interval of looking. */
const startMs = 20_000;
const lookMs = 20;
/** Time that a server has to leave after SIGTERM before it is killed, in milliseconds. */
const leaveMs = 5_000;
/** Wait before a dead server is started again, in milliseconds, and how often that is done. */
const restartWaitMs = 500;
const restartsMax = 20;

const portsSchema = z.object({ nats: z.array(z.string()).min(1) });

async function writePrivate(file: string, text: string): Promise<void> {
  await rm(file, { force: true });
  const handle = await open(file, "wx", 0o600);
  try {
    await handle.writeFile(text);
  } finally {
    await handle.close();
  }
}

/** The port that a server has written into its ports file, or null while there is none. */
async function readPort(folder: string): Promise<number | null> {
  for (const name of await readdir(folder)) {
    if (!name.endsWith(".ports")) continue;
    try {
      const ports = portsSchema.parse(JSON.parse(await readFile(join(folder, name), "utf8")));
      const port = /:(\d+)$/.exec(ports.nats[0] ?? "")?.[1];
      if (port !== undefined) return Number(port);
    } catch {
      // Half written: look again.
    }
  }
  return null;
}

async function logTail(folder: string): Promise<string> {
  const text = await readFile(join(folder, natsFiles.log), "utf8").catch(() => "");
  const lines = text.trimEnd().split("\n").slice(-5).join("\n");
  return lines === "" ? "it wrote no log" : `its log ends:\n${lines}`;
}

interface Running {
  readonly child: ChildProcess;
  readonly exited: Promise<string>;
  readonly port: number;
}

async function launch(options: NatsServerOptions): Promise<Running> {
  const { folder } = options;
  for (const name of await readdir(folder)) {
    if (name.endsWith(".ports")) await rm(join(folder, name), { force: true });
  }
  const child = options.spawn(options.natsServerFile, ["--config", join(folder, natsFiles.config)]);
  let end: string | null = null;
  const exited = new Promise<string>((resolve) => {
    child.once("error", (error) => resolve(error.message));
    child.once("exit", (code, signal) => resolve(signal ?? `exit code ${code}`));
  });
  void exited.then((how) => {
    end = how;
  });
  const giveUp = AbortSignal.timeout(startMs);
  for (;;) {
    const port = await readPort(folder);
    if (port !== null) return { child, exited, port };
    if (end !== null) {
      throw new Error(`nats-server did not start (${String(end)}); ${await logTail(folder)}`);
    }
    if (options.signal.aborted || giveUp.aborted) {
      child.kill("SIGKILL");
      options.signal.throwIfAborted();
      throw new Error(`nats-server did not listen in ${startMs} ms; ${await logTail(folder)}`);
    }
    await sleep(lookMs);
  }
}

async function end(running: Running): Promise<void> {
  running.child.kill("SIGTERM");
  const patience = new AbortController();
  const late = sleep(leaveMs, "late", { signal: patience.signal }).catch(() => "left");
  if ((await Promise.race([running.exited, late])) === "late") running.child.kill("SIGKILL");
  patience.abort();
  await running.exited;
}

function urlOf(
  options: NatsServerOptions,
  user: keyof NatsSecrets,
  at: { secrets: NatsSecrets; port: number },
): string {
  const host = options.advertiseHost ?? options.listenHost ?? "127.0.0.1";
  return `nats://${user}:${at.secrets[user]}@${isIPv6(host) ? `[${host}]` : host}:${at.port}`;
}

/** Starts the server and resolves once it listens. Throws when it cannot, with the end of its log. */
export async function startNatsServer(options: NatsServerOptions): Promise<NatsServer> {
  const newSecret = options.newSecret ?? (() => randomBytes(24).toString("base64url"));
  const secrets = { coordinator: newSecret(), worker: newSecret(), operator: newSecret() };
  const { folder } = options;
  const host = options.listenHost ?? "127.0.0.1";
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const configure = (port: number): Promise<void> =>
    writePrivate(join(folder, natsFiles.config), natsConfigText({ host, port, folder, secrets }));

  let running: Running;
  try {
    await configure(-1);
    running = await launch(options);
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  const { port } = running;
  await configure(port);

  const stopping = new AbortController();
  const keep = async (): Promise<void> => {
    for (let restarts = 0; ; restarts += 1) {
      const how = await running.exited;
      if (stopping.signal.aborted) return;
      if (restarts === restartsMax) {
        options.say(`nats-server died again (${how}); the run goes on without NATS`);
        return;
      }
      options.say(`nats-server died (${how}); it is started again`);
      await sleep(restartWaitMs, undefined, { signal: stopping.signal }).catch(() => undefined);
      if (stopping.signal.aborted) return;
      try {
        running = await launch({ ...options, signal: stopping.signal });
      } catch (error) {
        if (stopping.signal.aborted) return;
        options.say(error instanceof Error ? error.message : String(error));
      }
    }
  };
  const keeping = keep();
  return {
    url: urlOf(options, "coordinator", { secrets, port }),
    workerUrl: urlOf(options, "worker", { secrets, port }),
    operatorUrl: urlOf(options, "operator", { secrets, port }),
    port,
    async pid() {
      return Number(await readFile(join(folder, natsFiles.pid), "utf8"));
    },
    async stop() {
      stopping.abort();
      await end(running);
      await keeping;
      await end(running);
      await rm(folder, { recursive: true, force: true });
    },
  };
}
