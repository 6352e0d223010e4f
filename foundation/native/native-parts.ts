/**
 * The parts that npm does not bring: TensorFlow's library, the binding compiled against it, and nats-server. All lie in
 * the cache, under names that hold what decides them; what is there is whole, because it was put there by a rename.
 */
import { stat } from "node:fs/promises";
import { join } from "node:path";
import { cacheFolder } from "../cache/cache-folder.ts";
import { removeAbandoned } from "../cache/install-folder.ts";
import type { Device } from "../device.ts";
import { bindingFile, installBinding, readBindingInput } from "./binding.ts";
import type { FetchContext } from "./fetch-pinned.ts";
import { installNatsServer, natsServerFile } from "./nats-server.ts";
import { tensorflowVersion } from "./pins.ts";
import { checkGlibc, currentPlatform, type Platform } from "./platform.ts";
import { asOnlySetup, checkFreeSpace } from "./only-setup.ts";
import type { ProgressSink } from "./progress.ts";
import { installTensorflow, tensorflowFolder } from "./tensorflow.ts";
import { findCompiler, findPip } from "./toolchain.ts";

/** Where the parts lie. */
export interface NativeParts {
  /** The addon, `tfjs_binding.node`; it finds TensorFlow's libraries by itself. */
  readonly bindingFile: string;
  readonly natsServerFile: string;
  readonly tensorflowVersion: string;
  readonly device: Device;
}

/** One part of a set-up; `binding` needs `tensorflow`. */
export type NativePart = "tensorflow" | "binding" | "nats-server";

/** What to prepare, and with what. */
export interface NativeOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly device: Device;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
  /** Default: all of them. The places of the others are named, whether or not they are there. */
  readonly parts?: readonly NativePart[];
  /** What is waited for before anything is fetched; what it rejects with is passed on. */
  readonly beforeFetch?: () => Promise<void>;
}

/** A part's place and whether it is there. */
export interface PartState {
  readonly part: NativePart;
  readonly file: string;
  readonly found: boolean;
  /** Disk space that it takes while it is installed. */
  readonly bytesNeeded: number;
}

const everyPart: readonly NativePart[] = ["tensorflow", "binding", "nats-server"];
const bytesNeededCpu = 1_450_000_000;
const bytesNeededGpu = 9_000_000_000;
const bytesNeededBinding = 10_000_000;
const bytesNeededNats = 30_000_000;

async function exists(file: string): Promise<boolean> {
  return (await stat(file).catch(() => null)) !== null;
}

/** Looks which parts are there. Reads the binding's sources, changes nothing; about 15 ms. */
export async function inspectNativeParts(
  cache: string,
  platform: Platform,
  device: Device,
): Promise<readonly PartState[]> {
  const tensorflow = tensorflowFolder(cache, platform, device);
  const binding = bindingFile(cache, await readBindingInput(platform, tensorflow));
  const natsServer = natsServerFile(cache, platform);
  const libraries = await Promise.all(tensorflow.libraryFiles.map(exists));
  const [library = tensorflow.folder] = tensorflow.libraryFiles;
  return [
    {
      part: "tensorflow",
      file: library,
      found: libraries.every(Boolean),
      bytesNeeded: device === "gpu" ? bytesNeededGpu : bytesNeededCpu,
    },
    {
      part: "binding",
      file: binding,
      found: await exists(binding),
      bytesNeeded: bytesNeededBinding,
    },
    {
      part: "nats-server",
      file: natsServer,
      found: await exists(natsServer),
      bytesNeeded: bytesNeededNats,
    },
  ];
}

/** Fails before anything is fetched when a tool or the space for what is missing is not there. */
async function checkMachine(
  missing: readonly PartState[],
  context: FetchContext,
  platform: Platform,
): Promise<void> {
  checkGlibc(platform);
  const { env, signal, cache } = context;
  if (missing.some(({ part }) => part === "binding")) await findCompiler({ env, signal });
  if (missing.some(({ part }) => part !== "binding")) await findPip({ env, signal });
  const needed = missing.reduce((sum, part) => sum + part.bytesNeeded, 0);
  await checkFreeSpace(cache, needed);
}

async function installMissing(
  context: FetchContext,
  platform: Platform,
  options: NativeOptions,
): Promise<void> {
  const wanted = options.parts ?? everyPart;
  const states = await inspectNativeParts(context.cache, platform, options.device);
  const missing = states.filter(({ part, found }) => !found && wanted.includes(part));
  if (missing.length === 0) return;
  for (const folder of ["tensorflow", "binding", "nats-server"]) {
    await removeAbandoned(join(context.cache, folder));
  }
  await checkMachine(missing, context, platform);
  for (const { part } of missing) {
    if (part === "tensorflow") await installTensorflow(context, platform, options.device);
    if (part === "nats-server") await installNatsServer(context, platform);
    if (part === "binding") {
      const tensorflow = tensorflowFolder(context.cache, platform, options.device);
      await installBinding(await readBindingInput(platform, tensorflow), context);
    }
  }
}

/**
 * Makes sure that the parts are there, fetching and compiling what is missing; under 100 ms when nothing is.
 * Another process doing the same is waited for. Throws `SetupProblem` with a remedy, or the signal's reason; then
 * nothing half-made is left and the next call goes on from what was whole.
 */
export async function ensureNativeParts(options: NativeOptions): Promise<NativeParts> {
  const platform = currentPlatform();
  const cache = cacheFolder(options.env);
  const wanted = options.parts ?? everyPart;
  const states = await inspectNativeParts(cache, platform, options.device);
  if (states.some(({ part, found }) => !found && wanted.includes(part))) {
    await options.beforeFetch?.();
    const { env, progress, signal } = options;
    const context: FetchContext = { env, cache, progress, signal };
    await asOnlySetup(context, () => installMissing(context, platform, options));
  }
  const place = (wantedPart: NativePart): string =>
    states.find(({ part }) => part === wantedPart)?.file ?? "";
  return {
    bindingFile: place("binding"),
    natsServerFile: place("nats-server"),
    tensorflowVersion,
    device: options.device,
  };
}
