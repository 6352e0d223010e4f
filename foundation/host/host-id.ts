/** Which processes share a host: what one of them has in memory, others can read. */
import { createHash } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { hostname } from "node:os";

/** Folder of shared memory on Linux. */
export const sharedMemoryFolder = "/dev/shm";

function readBoot(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return hostname();
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
  const identity = `${readBoot()}\0${deviceOf(sharedMemoryFolder)}`;
  return createHash("sha256").update(identity).digest("hex").slice(0, 32);
}
