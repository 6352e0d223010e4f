/** Which cores are near which memory, on machines with several memory nodes (NUMA). */
import { readFileSync } from "node:fs";
import type { ReadText } from "./available-cores.ts";

const nodesFolder = "/sys/devices/system/node";

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** Numbers of a list as Linux writes them, `0-3,8`; empty where there is none. */
export function numbersIn(list: string | null): readonly number[] {
  return (list ?? "")
    .trim()
    .split(",")
    .flatMap((range) => {
      const [, first, last = first] = /^(\d+)(?:-(\d+))?$/u.exec(range) ?? [];
      if (first === undefined) return [];
      const length = Math.max(0, Number(last) - Number(first) + 1);
      return Array.from({ length }, (_, index) => Number(first) + index);
    });
}

/**
 * The cores of each memory node that this process may use; nodes without any are left out. Empty where Linux does not say.
 * @param read reads a small file, null where there is none
 */
export function memoryNodes(read: ReadText = readOrNull): readonly (readonly number[])[] {
  const status = read("/proc/self/status") ?? "";
  const allowed = new Set(numbersIn(/^Cpus_allowed_list:\s*(\S+)$/mu.exec(status)?.[1] ?? null));
  return numbersIn(read(`${nodesFolder}/online`))
    .map((node) =>
      numbersIn(read(`${nodesFolder}/node${node}/cpulist`)).filter((core) => allowed.has(core)),
    )
    .filter((cores) => cores.length > 0);
}
