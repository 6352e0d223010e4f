/**
 * Workers as processes of this machine: each behind a guard, in a process group of its own, with its log in a file.
 */
import { closeSync, existsSync, openSync } from "node:fs";
import { mkdir, open } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { memoryNodes } from "../../foundation/host/memory-nodes.ts";
import {
  allocatorEnvironment,
  workerEnvironment as names,
  workerNodeFlags,
} from "../../proto/environment.ts";
import { spawnGuarded } from "./guard.ts";
import type { ChildEnd, GuardedChild } from "./guard.ts";
import type { Launcher, LaunchOrder, WorkerEnd } from "./launcher.ts";
import { coresOfWorker } from "./node-share.ts";

/** What local workers need beside their order. */
export interface LocalLaunchOptions {
  /** Environment that workers inherit. */
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  /** Folder for `worker-<k>.log`; made when it is absent. */
  readonly logFolder: string;
  /** The native binding that the coordinator has ensured. */
  readonly bindingFile: string;
  readonly tensorflowVersion: string;
  readonly device: "cpu" | "gpu";
  /** The worker program; the one beside this coordinator by default. */
  readonly program?: string;
  /** Cores of each memory node; this machine's by default. */
  readonly memoryNodes?: readonly (readonly number[])[];
}

interface Launched {
  readonly child: GuardedChild;
  readonly childId: number;
  readonly logFile: string;
  end: ChildEnd | null;
}

const workerProgram = fileURLToPath(new URL("../../worker/bin.mjs", import.meta.url));

/** Time between SIGTERM and SIGKILL when the coordinator is gone, in milliseconds. */
const orphanGraceMs = 1_000;
/** How long an end that is under way is waited for, in milliseconds. */
const endWaitMs = 2_000;
const tailBytes = 16_384;
const tailLines = 12;

/** Starts workers here. */
export class LocalLauncher implements Launcher {
  readonly firstEnd: Promise<string>;
  readonly #options: LocalLaunchOptions;
  readonly #workers = new Map<string, Launched>();
  #tellFirstEnd: (workerId: string) => void = () => undefined;

  constructor(options: LocalLaunchOptions) {
    this.#options = options;
    this.firstEnd = new Promise((resolve) => {
      this.#tellFirstEnd = resolve;
    });
  }

  async launch(order: LaunchOrder): Promise<void> {
    await mkdir(this.#options.logFolder, { recursive: true });
    const numbers = Array.from({ length: order.workers }, (_, number) => number);
    await Promise.all(numbers.map((number) => this.#launchOne(number, order)));
  }

  idOf(processId: number): string | null {
    for (const [workerId, worker] of this.#workers) {
      if (worker.childId === processId) return workerId;
    }
    return null;
  }

  async endOf(workerId: string): Promise<WorkerEnd> {
    const worker = this.#workers.get(workerId);
    if (worker === undefined) return { end: null, lastLines: [], logFile: null };
    const patience = new AbortController();
    const running = { kind: "running" } as const;
    const late = sleep(endWaitMs, running, { signal: patience.signal }).catch(() => running);
    const end = await Promise.race([worker.child.ended, late]);
    patience.abort();
    return { end, lastLines: await readTail(worker.logFile), logFile: worker.logFile };
  }

  async stop(graceMs: number): Promise<void> {
    const children = [...this.#workers.values()].map((worker) => worker.child);
    const ended = Promise.all(children.map((child) => child.ended));
    const patience = new AbortController();
    const late = sleep(graceMs, "late", { signal: patience.signal }).catch(() => "over");
    if ((await Promise.race([ended, late])) === "late") {
      for (const child of children) child.process.kill("SIGKILL");
    }
    patience.abort();
    await ended;
  }

  async #launchOne(number: number, order: LaunchOrder): Promise<void> {
    const workerId = `worker-${number}`;
    const logFile = join(this.#options.logFolder, `${workerId}.log`);
    const log = openSync(logFile, "a", 0o600);
    let child: GuardedChild;
    try {
      const [command, ...words] = this.#commandOf(number, order.workers);
      child = spawnGuarded(command, words, {
        env: this.#environmentOf(number, order),
        output: { stdout: log, stderr: log },
        graceMs: orphanGraceMs,
      });
    } finally {
      closeSync(log);
    }
    const childId = await child.childId;
    const launched: Launched = { child, childId, logFile, end: null };
    this.#workers.set(workerId, launched);
    void child.ended.then((end) => {
      launched.end = end;
      this.#tellFirstEnd(workerId);
    });
  }

  /** The worker's command, kept on one memory node's cores where that is right and there is a program that does it. */
  #commandOf(number: number, workers: number): readonly [string, ...string[]] {
    const { env, program = workerProgram, memoryNodes: nodes = memoryNodes() } = this.#options;
    const worker = [process.execPath, ...workerNodeFlags, program] as const;
    const cores = coresOfWorker(number, workers, nodes);
    if (cores === null || !isInPath("taskset", env)) return worker;
    return ["taskset", "--cpu-list", cores.join(","), ...worker];
  }

  #environmentOf(localRank: number, order: LaunchOrder): NodeJS.ProcessEnv {
    const { env, platform, bindingFile, tensorflowVersion, device } = this.#options;
    const tunables =
      platform === "linux" && env["GLIBC_TUNABLES"] === undefined ? allocatorEnvironment : {};
    return {
      ...env,
      ...tunables,
      [names.coordinator]: order.coordinatorAddress,
      [names.joinToken]: order.joinToken,
      // Also where there is none: the user's own environment may name some that this run does not use.
      [names.tlsCert]: order.tls === null ? "" : resolve(order.tls.cert),
      [names.tlsKey]: order.tls === null ? "" : resolve(order.tls.key),
      [names.tlsCa]: order.tls === null ? "" : resolve(order.tls.ca),
      [names.run]: order.run,
      [names.advertiseHost]: "127.0.0.1",
      [names.bindingFile]: bindingFile,
      [names.tensorflowVersion]: tensorflowVersion,
      [names.device]: device,
      [names.threads]: order.threads === null ? "" : String(order.threads),
      [names.localRank]: String(localRank),
      [names.metricsListen]: "127.0.0.1:0",
    };
  }
}

/** Whether a program can be started by its name. */
function isInPath(name: string, env: NodeJS.ProcessEnv): boolean {
  return (env["PATH"] ?? "")
    .split(delimiter)
    .some((folder) => folder !== "" && existsSync(join(folder, name)));
}

/** Last lines of a file. */
async function readTail(file: string): Promise<readonly string[]> {
  const handle = await open(file, "r").catch(() => null);
  if (handle === null) return [];
  try {
    const { size } = await handle.stat();
    const start = Math.max(0, size - tailBytes);
    const { buffer, bytesRead } = await handle.read(Buffer.alloc(tailBytes), 0, tailBytes, start);
    const lines = buffer.toString("utf8", 0, bytesRead).split("\n");
    return lines.filter((line) => line.trim() !== "").slice(-tailLines);
  } finally {
    await handle.close();
  }
}
