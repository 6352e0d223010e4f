/**
 * Peak memory of a program with all its processes: the sum of their proportional set sizes (PSS: own pages whole, shared
 * pages divided by how many share them), sampled. Linux only.
 */
import { readdirSync, readFileSync } from "node:fs";

/** What was seen. */
export interface PeakMemory {
  /** Largest sum, in bytes. */
  readonly bytes: number;
  /** Processes at that moment. */
  readonly processes: number;
  /** Samples taken. */
  readonly samples: number;
}

const sampleMs = 100;

function read(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // The process has ended meanwhile.
  }
}

/** Process ids of all that descend from a process, itself left out. */
export function startedProcesses(root: number): readonly number[] {
  const children = new Map<number, number[]>();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/u.test(name)) continue;
    // The name in parentheses may hold anything; the parent is the second field after it.
    const fields = read(`/proc/${name}/stat`).split(") ").at(-1)?.split(" ") ?? [];
    const parent = Number(fields[1]);
    children.set(parent, [...(children.get(parent) ?? []), Number(name)]);
  }
  const found = [...(children.get(root) ?? [])];
  for (const id of found) found.push(...(children.get(id) ?? []));
  return found;
}

/** Bytes of a process; 0 for one that has ended. */
export function pssOf(processId: number): number {
  const kilobytes = /^Pss:\s+(\d+) kB/mu.exec(read(`/proc/${processId}/smaps_rollup`))?.[1];
  return Number(kilobytes ?? 0) * 1024;
}

/** Samples all that this process has started, itself left out, until it is stopped. */
export function watchStartedMemory(): { stop(): PeakMemory } {
  let peak = { bytes: 0, processes: 0 };
  let samples = 0;
  const sample = (): void => {
    const sizes = startedProcesses(process.pid)
      .map(pssOf)
      .filter((bytes) => bytes > 0);
    const bytes = sizes.reduce((sum, size) => sum + size, 0);
    samples += 1;
    if (bytes > peak.bytes) peak = { bytes, processes: sizes.length };
  };
  const timer = setInterval(sample, sampleMs);
  return {
    stop() {
      sample();
      clearInterval(timer);
      return { ...peak, samples };
    },
  };
}
