/** `coordinator launch --kubernetes JOB`: writes the manifests of a cluster's run of a job file. */
import { basename } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import { parseJob } from "../../foundation/job/parse-job.ts";
import { kubernetesDefaults, type KubernetesOptions } from "../kubernetes/kubernetes-options.ts";
import { writeKubernetesManifests } from "../kubernetes/write-manifests.ts";
import { say, type CommandContext } from "./command-context.ts";
import { readTextFile } from "./read-text-file.ts";

type Flags = Readonly<Record<string, unknown>>;

function textOf(flags: Flags, name: string, fallback: string): string {
  const value = flags[name];
  return typeof value === "string" ? value : fallback;
}

function numberOf(flags: Flags, name: string, fallback: number): number {
  const value = flags[name];
  if (typeof value !== "string") return fallback;
  if (/^-?\d+$/.test(value)) return Number(value);
  throw new BadInput({ flag: `--${name}`, expected: "a whole number", found: value });
}

function deviceOf(flags: Flags): "cpu" | "gpu" {
  const device = textOf(flags, "device", kubernetesDefaults.device);
  if (device === "cpu" || device === "gpu") return device;
  throw new BadInput({ flag: "--device", expected: "cpu or gpu", found: device });
}

/** A job's name as a DNS label. */
function labelOf(name: string): string {
  return name
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, "-")
    .replace(/^[^a-z]+/, "")
    .slice(0, 40)
    .replace(/-+$/, "");
}

/** The options that the flags mean; what makes no sense is refused where they are used. */
function kubernetesOptions(flags: Flags, job: string): KubernetesOptions {
  const d = kubernetesDefaults;
  return {
    name: textOf(flags, "name", labelOf(job)),
    namespace: textOf(flags, "namespace", d.namespace),
    image: textOf(flags, "image", d.image),
    workers: numberOf(flags, "workers", d.workers),
    workerCores: numberOf(flags, "worker-cores", d.workerCores),
    workerMemory: textOf(flags, "worker-memory", d.workerMemory),
    coordinatorMemory: textOf(flags, "coordinator-memory", d.coordinatorMemory),
    outputSize: textOf(flags, "output-size", d.outputSize),
    dataClaim: flags["data-claim"] === undefined ? null : textOf(flags, "data-claim", ""),
    tlsSecret: flags["tls-secret"] === undefined ? null : textOf(flags, "tls-secret", ""),
    device: deviceOf(flags),
  };
}

/** The job file is a job: its name. Throws BadInput. */
async function checkedJobName(jobFile: string, context: CommandContext): Promise<string> {
  const text = await readTextFile(jobFile, "a job file (YAML or JSON)");
  const sources = { flags: {}, env: {}, file: { name: jobFile, text } };
  const now = context.now();
  return parseJob(sources, { now, jobName: basename(jobFile), checkpoint: null }).settings.job;
}

/** Writes the manifests. Resolves with the exit code. */
export async function runLaunch(
  operands: readonly string[],
  flags: Flags,
  context: CommandContext,
): Promise<number> {
  if (flags["kubernetes"] !== true) {
    throw new BadInput({
      flag: "--kubernetes",
      expected: "it, as the only way to launch",
      found: "none",
    });
  }
  const jobFile = operands[0] ?? "";
  const job = await checkedJobName(jobFile, context);
  const kubernetes = kubernetesOptions(flags, job);
  const folder = textOf(flags, "output-dir", `${kubernetes.name}-kubernetes`);
  const files = await writeKubernetesManifests({ jobFile, folder, kubernetes });
  for (const file of files) say(context, file);
  say(context, "");
  say(context, `kubectl create namespace ${kubernetes.namespace}`);
  say(context, `kubectl apply -k ${folder}`);
  return 0;
}
