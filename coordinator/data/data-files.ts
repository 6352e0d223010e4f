/** From what the user named (files, folders, globs) to the list of files, in an order that is the same everywhere. */
import { stat } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { glob, isDynamicPattern } from "tinyglobby";
import { BadInput } from "../../foundation/bad-input.ts";
import { formatOfFile, supportedEndings, type FileFormat } from "./file-format.ts";

/** A file of records. */
export interface DataFile extends FileFormat {
  /** As the user would name it; opened relative to the working folder. */
  readonly path: string;
}

function compareNames(left: string, right: string): number {
  return left < right ? -1 : left > right ? 1 : 0;
}

async function filesUnder(folder: string): Promise<readonly string[]> {
  const found = await glob("**/*", { cwd: folder, onlyFiles: true, dot: false });
  return found.map((file) => join(folder, file)).filter((file) => formatOfFile(file) !== null);
}

async function expandOne(named: string, flag: string): Promise<readonly string[]> {
  const status = await stat(named).catch(() => null);
  if (status?.isFile()) return [named];
  if (status !== null && !status.isDirectory()) {
    throw new BadInput({ flag, file: named, expected: "a file, a folder or a glob" });
  }
  if (status === null && !isDynamicPattern(named)) {
    throw new BadInput({ flag, file: named, expected: "an existing file", found: "none" });
  }
  const files = status?.isDirectory()
    ? await filesUnder(named)
    : await glob(named, {
        onlyFiles: true,
        expandDirectories: false,
        absolute: isAbsolute(named),
      });
  if (files.length === 0) {
    throw new BadInput({
      flag,
      file: named,
      expected: `files ending in ${supportedEndings}`,
      found: "none",
    });
  }
  return files;
}

/**
 * The files that the names stand for: sorted by code units within each folder or glob, otherwise in the order given, none
 * twice. Hidden files and files of other formats in folders are left out.
 * Throws BadInput for a name that stands for nothing, and for a named file of another format.
 */
export async function listDataFiles(
  names: readonly string[],
  flag: string,
): Promise<readonly DataFile[]> {
  const paths = new Set<string>();
  for (const named of names) {
    for (const path of [...(await expandOne(named, flag))].sort(compareNames)) paths.add(path);
  }
  return [...paths].map((path) => {
    const format = formatOfFile(path);
    if (format === null) {
      throw new BadInput({ flag, file: path, expected: `a name ending in ${supportedEndings}` });
    }
    return { path, ...format };
  });
}
