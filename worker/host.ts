/** What a worker can say of its host: who shares memory with it, and what computes here. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { cpus, hostname } from "node:os";
import { describeGpus } from "../foundation/host/graphics-cards.ts";
import { processorFeatures } from "../foundation/host/processor-features.ts";
import { sharedMemoryFolder } from "./ring/shared-memory.ts";

/** CPU features that decide which kernels run. */
const decidingFeatures = ["avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16"];

function readOr(file: string, otherwise: string): string {
  try {
    return readFileSync(file, "utf8").trim();
  } catch {
    return otherwise;
  }
}

function deviceOf(folder: string): string {
  try {
    const { dev, ino } = statSync(folder);
    return `${dev}:${ino}`;
  } catch {
    return "none";
  }
}

/**
 * Equal for processes that share a boot of a machine and its /dev/shm, different otherwise: containers of one host have
 * a /dev/shm each.
 */
export function readHostId(): string {
  const boot = readOr("/proc/sys/kernel/random/boot_id", hostname());
  const identity = `${boot}\0${deviceOf(sharedMemoryFolder)}`;
  return createHash("sha256").update(identity).digest("hex").slice(0, 32);
}

/** What computes here, deciding features, versions: for reports, and to recognise machines that compute other bits. */
export function readEnvironment(
  tensorflowVersion: string,
  device: "cpu" | "gpu",
): Record<string, string> {
  const all = cpus();
  const features = processorFeatures();
  return {
    host: hostname(),
    cpu: all[0]?.model ?? "unknown",
    cores: String(all.length),
    cpu_features: decidingFeatures.filter((feature) => features.has(feature)).join(" "),
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    tensorflow: tensorflowVersion,
    ...(device === "gpu" ? describeGpus() : {}),
  };
}
