/** What a worker can say of its host: what computes here. */
import { cpus, hostname } from "node:os";
import { describeGpus } from "../foundation/host/graphics-cards.ts";
import { processorFeatures } from "../foundation/host/processor-features.ts";

/** CPU features that decide which kernels run. */
const decidingFeatures = ["avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "bf16"];

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
