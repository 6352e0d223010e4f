/** A real run whose coordinator and workers are on hosts of their own, which meet over the network only. */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import type { Network, NetworkHost } from "../../support/network-hosts.ts";
import { readEvents } from "./coordinator.ts";
import type { RanksPlace } from "./peer-ranks.ts";
import { stepArguments, type StepJob } from "./step-arguments.ts";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const coordinatorPort = 7077;
const workerPort = 7078;
const outputMax = 20_000;
const stepSchema = z.object({ stepMs: z.number(), loss: z.number() });

/** What is trained, and with what. */
export interface HostsJob extends StepJob {
  /** For outputs. */
  readonly folder: string;
  /** Threads of each worker. */
  readonly threads: number;
  /** Hears of every process. */
  readonly onStarted: (child: ChildProcess) => void;
}

/** How it is trained. */
export interface HostsRun {
  readonly wire: string;
  readonly steps: number;
  /** Further flags of the coordinator. */
  readonly flags?: readonly string[];
}

interface Started {
  readonly ended: Promise<number | null>;
  readonly text: () => string;
}

function startOn(
  host: NetworkHost,
  job: HostsJob,
  program: string,
  args: readonly string[],
): Started {
  const env = { ...process.env, RINGMASTER_JOIN_TOKEN: "a token for hosts of a bench" };
  // As a user starts it: its first line says with what settings.
  const child = host.start(join(root, program), args, { env });
  job.onStarted(child);
  let text = "";
  const keep = (bytes: Buffer): void => {
    text = (text + bytes.toString("utf8")).slice(-outputMax);
  };
  child.stdout?.on("data", keep);
  child.stderr?.on("data", keep);
  const ended = once(child, "close").then(([code]) => (typeof code === "number" ? code : null));
  return { ended, text: () => text };
}

/**
 * Trains for some steps: the first host leads, the others compute.
 * @returns the time and the loss of every step
 */
export async function trainOnHosts(
  { hosts: [lead, ...workers] }: Network,
  job: HostsJob,
  { wire, steps, flags = [] }: HostsRun,
): Promise<{ readonly stepMs: readonly number[]; readonly losses: readonly number[] }> {
  if (lead === undefined) throw new Error("Cannot train without hosts");
  const output = join(job.folder, "run");
  rmSync(output, { recursive: true, force: true });
  const address = `${lead.address}:${coordinatorPort}`;
  const settings = [
    stepArguments(job),
    ["--no-spawn-workers", "--listen", address, "--threads-per-worker", String(job.threads)],
    ["--gradient-wire", wire, "--max-steps", String(steps), "--output-dir", output],
    ["--eval-strategy", "no", "--save-strategy", "no", ...flags],
  ];
  const coordinator = startOn(lead, job, "coordinator/bin.mjs", settings.flat());
  const all = [
    coordinator,
    ...workers.map((host) =>
      startOn(host, job, "worker/bin.mjs", [
        "--coordinator",
        address,
        "--listen",
        `${host.address}:${workerPort}`,
        "--advertise-host",
        host.address,
      ]),
    ),
  ];
  const codes = await Promise.all(all.map(({ ended }) => ended));
  if (codes.some((code) => code !== 0)) {
    throw new Error(
      `a run on hosts ended with ${codes.join(", ")}:\n${all.map(({ text }) => text()).join("\n--\n")}`,
    );
  }
  const events = readEvents(output, "StepCommitted", stepSchema);
  return {
    stepMs: events.map(({ data }) => data.stepMs),
    losses: events.map(({ data }) => data.loss),
  };
}

/** The same hosts for the peer's ranks: each on one of those that compute. */
export function placeOnHosts({ hosts: [, ...workers] }: Network): RanksPlace {
  return {
    start(rank, { command, args, env }) {
      const host = workers[rank];
      if (host === undefined) throw new RangeError(`Cannot place rank ${rank}`);
      return host.start(command, args, { env, writable: true });
    },
    address: workers[0]?.address ?? "",
    interface: "eth0",
  };
}
