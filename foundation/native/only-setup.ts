/** One set-up of a cache folder at a time, with the disk's troubles in plain words. */
import { mkdir, statfs } from "node:fs/promises";
import { join } from "node:path";
import { withProcessLock } from "../cache/process-lock.ts";
import type { FetchContext } from "./fetch-pinned.ts";
import { describeBytes } from "./progress.ts";
import { SetupProblem, translateDiskError } from "./setup-problem.ts";

/** Fails when the cache folder's disk has less room than that. The folder exists. */
export async function checkFreeSpace(cache: string, neededBytes: number): Promise<void> {
  const disk = await statfs(cache);
  const freeBytes = disk.bavail * disk.bsize;
  if (freeBytes >= neededBytes) return;
  throw new SetupProblem(
    "disk",
    `the cache folder ${cache} needs ${describeBytes(neededBytes)}, its disk has ${describeBytes(freeBytes)} free`,
    "free some, or set RINGMASTER_CACHE to a folder on another disk",
  );
}

/** The lock that every writer to the cache's shared parts holds. */
export function setupLockFile(cache: string): string {
  return join(cache, "locks", "setup");
}

/** Runs `work` as the only set-up of this cache folder, and turns a full or closed disk into a clear message. */
export async function asOnlySetup(context: FetchContext, work: () => Promise<void>): Promise<void> {
  const { cache, progress, signal } = context;
  try {
    await mkdir(cache, { recursive: true });
    let waiting: { end(note?: string): void } | null = null;
    await withProcessLock(
      setupLockFile(cache),
      {
        signal,
        onWait: (holder) => {
          waiting = progress.begin({ label: `wait for the set-up of process ${holder.pid}` });
        },
      },
      async () => {
        waiting?.end();
        await work();
      },
    );
  } catch (error) {
    throw translateDiskError(error, cache);
  }
}
