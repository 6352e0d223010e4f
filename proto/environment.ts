/**
 * Environment variables by which a launcher tells a worker process what to join. Flags of the worker program
 * (`--coordinator`, `--join-token-file`, …) come before them.
 */
export const workerEnvironment = {
  /** host:port of the coordinator's gRPC service. */
  coordinator: "RINGMASTER_COORDINATOR",
  /** The join token; proved by HMAC, never sent. */
  joinToken: "RINGMASTER_JOIN_TOKEN",
  /** Certificate, key and authority of mutual TLS: files; empty or absent for plain text. */
  tlsCert: "RINGMASTER_TLS_CERT",
  tlsKey: "RINGMASTER_TLS_KEY",
  tlsCa: "RINGMASTER_TLS_CA",
  /** Run to join; empty or absent takes the coordinator's only run. */
  run: "RINGMASTER_RUN",
  /** Host name or address under which neighbours reach this worker's ring service; `127.0.0.1` by default. */
  advertiseHost: "RINGMASTER_ADVERTISE_HOST",
  /** The native binding that the launcher has ensured; absent: the worker ensures its own. */
  bindingFile: "RINGMASTER_BINDING_FILE",
  /** TensorFlow's version behind that binding. */
  tensorflowVersion: "RINGMASTER_TENSORFLOW_VERSION",
  /** `cpu` or `gpu`. */
  device: "RINGMASTER_DEVICE",
  /** Threads that the job's TensorFlow gets, where the launcher knows them: it is loaded while the worker joins. */
  threads: "RINGMASTER_THREADS",
  /** Place of this worker among those started on its host, from 0: chooses the GPU. */
  localRank: "RINGMASTER_LOCAL_RANK",
  /** Threads beside the main one that payloads between hosts are spread over, or `auto`. */
  ringLanes: "RINGMASTER_RING_LANES",
  /** host:port of the worker's metrics and health page; port 0 takes a free one; `none` serves no page. */
  metricsListen: "RINGMASTER_METRICS_LISTEN",
} as const;

/**
 * glibc's allocator for workers, told to keep large blocks and use huge pages: what a step frees it needs again in the next one, and
 * pages given back have to be made, and cleared, anew. Other C libraries ignore it.
 */
export const allocatorEnvironment = {
  GLIBC_TUNABLES:
    "glibc.malloc.hugetlb=1:glibc.malloc.mmap_threshold=4294967296:glibc.malloc.trim_threshold=8589934592",
} as const;

/**
 * Node's flags for workers. The young generation has its full size from the start: while it is small, the buffers that HTTP/2
 * reads into outlive it, count as old memory, and have V8 mark the whole heap several times in every exchange.
 */
export const workerNodeFlags = ["--min-semi-space-size=16"] as const;
