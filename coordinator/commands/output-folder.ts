/** Looks whether a run may write into its output folder, and leaves it as it was. */
import { mkdtemp, readdir, rmdir, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";

async function entriesOf(folder: string): Promise<readonly string[] | "none" | "no folder"> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (code === "ENOENT") return "none";
    if (code === "ENOTDIR") return "no folder";
    throw new BadInput({
      flag: "--output-dir",
      file: folder,
      expected: "a folder that can be read",
      found: String(code),
    });
  }
}

/** The folder itself, or the nearest one above that exists. */
async function nearestExisting(folder: string): Promise<string> {
  let current = resolve(folder);
  for (;;) {
    const entry = await stat(current).catch(() => null);
    if (entry?.isDirectory() === true) return current;
    if (entry !== null) {
      throw new BadInput({
        flag: "--output-dir",
        file: folder,
        expected: "a folder",
        found: `the file ${current}`,
      });
    }
    const above = dirname(current);
    if (above === current) return current;
    current = above;
  }
}

/** Tries it, for permissions alone do not tell: a folder is made and removed at once. */
async function checkWritable(folder: string): Promise<void> {
  const existing = await nearestExisting(folder);
  try {
    await rmdir(await mkdtemp(join(existing, ".ringmaster-")));
  } catch (error) {
    const code = error instanceof Error && "code" in error ? String(error.code) : "";
    throw new BadInput({
      flag: "--output-dir",
      file: folder,
      expected: "a folder that can be written",
      found: `${code} in ${existing}`,
    });
  }
}

/**
 * Throws BadInput when the folder cannot be written, or holds something and may not be overwritten.
 * @param mayHoldFiles whether it is to be overwritten, or is that of the run which goes on
 */
export async function checkOutputFolder(folder: string, mayHoldFiles: boolean): Promise<void> {
  const entries = await entriesOf(folder);
  if (entries === "no folder") {
    throw new BadInput({
      flag: "--output-dir",
      file: folder,
      expected: "a folder",
      found: "a file",
    });
  }
  if (entries !== "none" && entries.length > 0 && !mayHoldFiles) {
    throw new BadInput({
      flag: "--output-dir",
      file: folder,
      expected: "a new or empty folder",
      found: `${entries.length} ${entries.length === 1 ? "entry" : "entries"} in it`,
      remedy:
        "--overwrite-output-dir replaces them, --resume-from-checkpoint last goes on from them",
    });
  }
  await checkWritable(folder);
}

/** The folder, or the first of `folder-2`, `folder-3`, … that does not exist yet. */
export async function freshFolder(folder: string): Promise<string> {
  for (let count = 1; ; count += 1) {
    const candidate = count === 1 ? folder : `${folder}-${count}`;
    if ((await entriesOf(candidate)) === "none") return candidate;
  }
}
