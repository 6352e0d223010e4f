/**
 * TensorFlow's settings, which its library reads from the process's environment when it is loaded: they are set before
 * the engine's thread starts. Allocator settings (GLIBC_TUNABLES) count from the start of the process and are the launcher's.
 */
import { sessionConfigVariable } from "../foundation/native/binding-patch.ts";

/** What decides the settings. */
export interface EngineEnvironment {
  /** Threads of a kernel; 0 leaves them to TensorFlow. */
  readonly threads: number;
  readonly device: "cpu" | "gpu";
  /** Place among the workers of this host, from 0: the number of its GPU. */
  readonly localRank: number;
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

/** TensorFlow's settings by name. */
export function engineVariables(options: EngineEnvironment): Readonly<Record<string, string>> {
  const { threads, device, localRank } = options;
  return {
    // TensorFlow turns oneDNN on by itself on some CPUs only.
    TF_ENABLE_ONEDNN_OPTS: "1",
    TF_CPP_MIN_LOG_LEVEL: "2",
    [sessionConfigVariable]: sessionConfig(),
    ...(threads > 0
      ? { TF_NUM_INTRAOP_THREADS: String(threads), TF_NUM_INTEROP_THREADS: String(threads) }
      : {}),
    ...(device === "gpu"
      ? {
          CUDA_VISIBLE_DEVICES: String(localRank),
          TF_FORCE_GPU_ALLOW_GROWTH: "true",
          // Kernels that add in another order each time are left out, or refused by name.
          TF_DETERMINISTIC_OPS: "1",
        }
      : {}),
  };
}

/** Sets them where the user has not set them. @param env the process's own */
export function setEngineEnvironment(env: NodeJS.ProcessEnv, options: EngineEnvironment): void {
  for (const [name, value] of Object.entries(engineVariables(options))) env[name] ??= value;
}
