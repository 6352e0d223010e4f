/** Reads a small text file that the user named. */
import { readFile, stat } from "node:fs/promises";
import { BadInput } from "../../foundation/bad-input.ts";

const bytesMax = 1_048_576;

function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

/** The file's text. Throws BadInput when it is missing, no file, larger than 1 MiB, or not UTF-8. */
export async function readTextFile(file: string, expected: string): Promise<string> {
  let bytes: Buffer;
  try {
    const entry = await stat(file);
    if (!entry.isFile()) throw new BadInput({ file, expected, found: "a folder" });
    if (entry.size > bytesMax)
      throw new BadInput({ file, expected: "at most 1 MiB", found: `${entry.size} bytes` });
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof BadInput) throw error;
    const missing = ["ENOENT", "ENOTDIR"].includes(codeOf(error));
    throw new BadInput({ file, expected, found: missing ? "no such file" : codeOf(error) });
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new BadInput({ file, expected: "UTF-8", found: "other bytes" });
  }
}
