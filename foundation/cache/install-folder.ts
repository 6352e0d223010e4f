/**
 * Puts a folder into the cache at once or not at all: it is filled under a temporary name beside its place, synced, and
 * renamed. What a killed process leaves is recognised by its name and removed by the next set-up.
 */
import { chmod, mkdir, mkdtemp, open, readdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

const temporaryPrefix = ".incomplete-";
const syncsAtOnce = 32;

/** Makes a folder for half-made things beside `target`; `removeAbandoned` knows it by its name. */
export async function temporaryFolderBeside(target: string): Promise<string> {
  await mkdir(dirname(target), { recursive: true });
  return mkdtemp(join(dirname(target), `${temporaryPrefix}${basename(target)}-`));
}

/** Removes what killed set-ups left in a folder. Call it only under the lock that every writer there holds. */
export async function removeAbandoned(folder: string): Promise<void> {
  const entries = await readdir(folder).catch(() => []);
  for (const entry of entries.filter((name) => name.startsWith(temporaryPrefix))) {
    await rm(join(folder, entry), { recursive: true, force: true });
  }
}

async function syncPath(path: string): Promise<void> {
  const handle = await open(path, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Flushes every file and folder under a path to the disk. */
async function syncTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile() || entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name));
  let next = 0;
  async function syncSome(): Promise<void> {
    for (let path = paths[next++]; path !== undefined; path = paths[next++]) await syncPath(path);
  }
  await Promise.all(Array.from({ length: syncsAtOnce }, syncSome));
  await syncPath(folder);
}

/**
 * Fills `target` through a temporary folder. A folder that stands there already is replaced; on any error nothing is
 * left. Callers that may race hold a lock.
 */
export async function installFolder(
  target: string,
  fill: (temporaryFolder: string) => Promise<void>,
): Promise<void> {
  const temporary = await temporaryFolderBeside(target);
  try {
    await fill(temporary);
    // Temporary folders are private; an image's cache is filled by one user and read by another.
    await chmod(temporary, 0o755);
    await syncTree(temporary);
    const existing = await stat(target).catch(() => null);
    if (existing !== null) {
      const replaced = await temporaryFolderBeside(target);
      await rename(target, join(replaced, "replaced"));
      await rename(temporary, target);
      await rm(replaced, { recursive: true, force: true });
    } else {
      await rename(temporary, target);
    }
    await syncPath(dirname(target));
  } catch (error) {
    await rm(temporary, { recursive: true, force: true });
    throw error;
  }
}
