/**
 * TensorFlow's settings, which its library reads from the process's environment when it is loaded: they are set before
 * the engine's thread starts. Allocator settings (GLIBC_TUNABLES) count from the start of the process and are the launcher's.
 */

/** What decides the settings. */
export interface EngineEnvironment {
  /** Threads of a kernel; 0 leaves them to TensorFlow. */
  readonly threads: number;
  readonly device: "cpu" | "gpu";
  /** Place among the workers of this host, from 0: the number of its GPU. */
  readonly localRank: number;
}

/** TensorFlow's settings by name. */
export function engineVariables(options: EngineEnvironment): Readonly<Record<string, string>> {
  const { threads, device, localRank } = options;
  return {
    // TensorFlow turns oneDNN on by itself on some CPUs only.
    TF_ENABLE_ONEDNN_OPTS: "1",
    TF_CPP_MIN_LOG_LEVEL: "2",
    ...(threads > 0 ? { TF_NUM_INTRAOP_THREADS: String(threads) } : {}),
    ...(device === "gpu"
      ? { CUDA_VISIBLE_DEVICES: String(localRank), TF_FORCE_GPU_ALLOW_GROWTH: "true" }
      : {}),
  };
}

/** Sets them where the user has not set them. @param env the process's own */
export function setEngineEnvironment(env: NodeJS.ProcessEnv, options: EngineEnvironment): void {
  for (const [name, value] of Object.entries(engineVariables(options))) env[name] ??= value;
}
