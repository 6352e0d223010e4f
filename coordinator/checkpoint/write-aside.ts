/**
 * All or nothing on disk: what is written goes to a temporary name beside its place, is synced, and is renamed. A crash
 * leaves the old thing or the new one, and at worst a partial that the janitor or the next start removes.
 */
import { mkdir, open, rename, rm } from "node:fs/promises";
import { basename, dirname, join } from "node:path";

/** Writes what a folder's name points at into `disk`. */
async function syncFolder(folder: string): Promise<void> {
  const handle = await open(folder, "r");
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

const partialEnd = ".ringmaster-partial";

/** The temporary names in a folder, as a pattern of the shell. */
export const partialPattern = `.*${partialEnd}`;

/** Whether a name in a folder is a temporary one. */
export function isPartial(name: string): boolean {
  return name.startsWith(".") && name.endsWith(partialEnd);
}

function partialOf(place: string): string {
  return join(dirname(place), `.${basename(place)}${partialEnd}`);
}

/** Writes a file and syncs it; for files within a folder that is written aside. The file must not exist. */
export async function writeSynced(file: string, content: string | Uint8Array): Promise<void> {
  const handle = await open(file, "wx");
  try {
    await handle.writeFile(content);
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Replaces one file. */
export async function replaceFile(file: string, content: string | Uint8Array): Promise<void> {
  const partial = partialOf(file);
  await rm(partial, { force: true });
  await writeSynced(partial, content);
  await rename(partial, file);
  await syncFolder(dirname(file));
}

/** Makes a folder, or replaces it. @param fill writes and syncs the files into the folder that it is given */
export async function replaceFolder(
  folder: string,
  fill: (partial: string) => Promise<void>,
): Promise<void> {
  const partial = partialOf(folder);
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    await fill(partial);
    await syncFolder(partial);
    await rm(folder, { recursive: true, force: true });
    await rename(partial, folder);
  } catch (error) {
    await rm(partial, { recursive: true, force: true });
    throw error;
  }
  await syncFolder(dirname(folder));
}

/** Writes files aside as one folder, then moves each to its place in `folder`, replacing what is there. */
export async function replaceFilesIn(
  folder: string,
  fill: (partial: string) => Promise<readonly string[]>,
): Promise<void> {
  const partial = partialOf(join(folder, "files"));
  await rm(partial, { recursive: true, force: true });
  await mkdir(partial, { recursive: true });
  try {
    for (const name of await fill(partial)) await rename(join(partial, name), join(folder, name));
    await syncFolder(folder);
  } finally {
    await rm(partial, { recursive: true, force: true });
  }
}
