/** Which processor a figure was taken on. */
import { readFileSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";

/** Instruction sets that decide which matmul kernels run. */
const telling = ["avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_tile"];

/** Name, cores, and the flags that matter here. */
export interface Cpu {
  readonly name: string;
  readonly cores: number;
  readonly flags: readonly string[];
}

/** Reads the machine's processor; flags are empty where /proc/cpuinfo is not there. */
export function describeCpu(): Cpu {
  let flags: string[] = [];
  try {
    const line = /^flags\s*:(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
    flags = line.split(" ").filter((flag) => telling.includes(flag));
  } catch {
    // Not Linux.
  }
  return { name: cpus()[0]?.model ?? "unknown", cores: availableParallelism(), flags };
}
