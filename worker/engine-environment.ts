/**
 * TensorFlow's settings, which its library reads from the process's environment when it is loaded: they are set before
 * the engine's thread starts. Allocator settings (GLIBC_TUNABLES) count from the start of the process and are the launcher's.
 */
import { traitsOf, type Device } from "../foundation/device.ts";
import { gpuVariables } from "../foundation/host/graphics-cards.ts";
import { sessionConfigVariable } from "../foundation/native/binding-patch.ts";

/** What decides the settings. */
export interface EngineEnvironment {
  /** Threads of a kernel; 0 leaves them to TensorFlow. */
  readonly threads: number;
  readonly device: Device;
  /** Place among the workers of this host, from 0: the number of its GPU. */
  readonly localRank: number;
  /** `CUDA_VISIBLE_DEVICES` as the worker was started with it: the GPUs among which its own is chosen. */
  readonly visibleDevices?: string | undefined;
}

const lengthDelimited = 2;

/** A field of a protobuf message: its number below 2048, its wire type, its bytes. */
function field(number: number, wireType: number, bytes: readonly number[]): number[] {
  const tag = number * 8 + wireType;
  return [...(tag < 128 ? [tag] : [(tag % 128) + 128, Math.floor(tag / 128)]), ...bytes];
}

function message(number: number, bytes: readonly number[]): number[] {
  return field(number, lengthDelimited, [bytes.length, ...bytes]);
}

/**
 * TensorFlow's ConfigProto, as hexadecimal digits. Grappler, which rewrites the whole graph before the first run of each
 * program, is off: a start ran it six times, for most of its time, and programs are optimised when they are recorded. Threads
 * with nothing to do sleep at once, so that workers which share cores do not take them from each other.
 * Field numbers: tensorflow/core/protobuf/config.proto and rewriter_config.proto.
 */
export function sessionConfig(): string {
  const disableMetaOptimizer = field(19, 0, [1]);
  const graphOptions = message(10, message(10, disableMetaOptimizer));
  const disableThreadSpinning = field(9, 0, [1]);
  const experimental = message(16, disableThreadSpinning);
  return Buffer.from([...graphOptions, ...experimental]).toString("hex");
}

/**
 * How many ops run side by side. On a CPU one: our kernels and TensorFlow's alike share their work out to all threads, and two of
 * them at a time would have twice as many threads as there are cores (docs/benchmarks.md, 2026-11-29).
 */
function opsAtATime({ threads, device }: EngineEnvironment): Readonly<Record<string, string>> {
  if (traitsOf(device).runsOneOpAtATime) return { TF_NUM_INTEROP_THREADS: "1" };
  return threads > 0 ? { TF_NUM_INTEROP_THREADS: String(threads) } : {};
}

/** TensorFlow's settings by name. */
export function engineVariables(options: EngineEnvironment): Readonly<Record<string, string>> {
  const { threads, device, localRank, visibleDevices } = options;
  return {
    // TensorFlow turns oneDNN on by itself on some CPUs only.
    TF_ENABLE_ONEDNN_OPTS: "1",
    TF_CPP_MIN_LOG_LEVEL: "2",
    [sessionConfigVariable]: sessionConfig(),
    ...(threads > 0 ? { TF_NUM_INTRAOP_THREADS: String(threads) } : {}),
    ...opsAtATime(options),
    ...(device === "gpu" ? gpuVariables(localRank, visibleDevices) : {}),
  };
}

/**
 * Sets them where the user has not set them; of the GPUs that the user has named, the worker's own is left.
 * @param env the process's own
 */
export function setEngineEnvironment(
  env: NodeJS.ProcessEnv,
  options: Omit<EngineEnvironment, "visibleDevices">,
): void {
  const visibleDevices = env["CUDA_VISIBLE_DEVICES"];
  const variables = engineVariables({ ...options, visibleDevices });
  for (const [name, value] of Object.entries(variables)) env[name] ??= value;
  const { CUDA_VISIBLE_DEVICES: own } = variables;
  if (own !== undefined) env["CUDA_VISIBLE_DEVICES"] = own;
}
