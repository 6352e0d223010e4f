/** What the processor can do that decides which kernels run, as Linux names it. */
import { readFileSync } from "node:fs";

/** Features out of the text of /proc/cpuinfo: `flags` of x86-64, `Features` of arm64. */
export function featuresIn(cpuinfo: string): ReadonlySet<string> {
  return new Set(/^(?:flags|Features)\s*:\s*(.*)$/mu.exec(cpuinfo)?.[1]?.split(/\s+/u));
}

/** The features of this machine's processor; empty where there is no /proc/cpuinfo. */
export function processorFeatures(): ReadonlySet<string> {
  try {
    return featuresIn(readFileSync("/proc/cpuinfo", "utf8"));
  } catch {
    return new Set();
  }
}

const bfloat16Features = ["avx512_bf16", "amx_bf16", "bf16"];

/** Whether the processor multiplies bfloat16 by instructions of its own. Others are no faster than in float32, and a hundred times slower at convolutions. */
export function multipliesBfloat16(features: ReadonlySet<string>): boolean {
  return bfloat16Features.some((feature) => features.has(feature));
}
