/** How many processor cores this process may keep busy: what its affinity allows, and what its control groups pay for. */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";

/** Reads a small file; null where there is none. Throws nothing. */
export type ReadText = (file: string) => string | null;

const cgroupRoot = "/sys/fs/cgroup";

function readOrNull(file: string): string | null {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return null;
  }
}

/** A folder and all above it, down to the root. Limits of every level hold. */
function levelsOf(path: string): readonly string[] {
  const names = path.split("/").filter((name) => name !== "");
  return Array.from({ length: names.length + 1 }, (_, kept) => names.slice(0, kept).join("/"));
}

/** Cores of a quota of processor time in a period; null for none (`max` in version 2, −1 in version 1). */
function coresOf(quota: string | undefined, period: string | undefined): number | null {
  const cores = Number(quota) / Number(period);
  return Number.isFinite(cores) && cores > 0 ? cores : null;
}

/** The limit in one folder of version 2's or version 1's tree. */
function limitIn(folder: string, read: ReadText): number | null {
  const [quota, period] = read(join(folder, "cpu.max"))?.trim().split(/\s+/u) ?? [];
  const second = coresOf(quota, period);
  if (second !== null) return second;
  return coresOf(
    read(join(folder, "cpu.cfs_quota_us"))?.trim(),
    read(join(folder, "cpu.cfs_period_us"))?.trim(),
  );
}

/**
 * Cores' worth of processor time that the control groups of this process allow, a fraction where they say one (a container
 * with 1.5 CPUs); null for no limit. Both versions of control groups are read, at every level.
 */
export function cgroupCores(read: ReadText): number | null {
  const lines = read("/proc/self/cgroup")?.trim().split("\n") ?? [];
  const limits = lines.flatMap((line) => {
    const [, controllers = "", path = "/"] = /^\d+:([^:]*):(.*)$/u.exec(line) ?? [];
    if (controllers !== "" && !controllers.split(",").includes("cpu")) return [];
    // In a container the tree begins at its own group, and the path may be the host's: then its root is what counts.
    const trees =
      controllers === "" ? [cgroupRoot] : [join(cgroupRoot, controllers), join(cgroupRoot, "cpu")];
    return trees.flatMap((tree) => levelsOf(path).map((level) => limitIn(join(tree, level), read)));
  });
  const found = limits.filter((limit): limit is number => limit !== null);
  return found.length === 0 ? null : Math.min(...found);
}

/**
 * Cores to share out among threads, at least 1. A limit of 1.5 gives 2: two threads use it up, one would leave a third.
 * @param cores that the scheduler may use
 */
export function availableCores(
  cores: number = availableParallelism(),
  read: ReadText = readOrNull,
): number {
  const limit = cgroupCores(read);
  return limit === null ? cores : Math.min(cores, Math.max(1, Math.ceil(limit)));
}
