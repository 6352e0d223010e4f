/** MRPC's two files, as Microsoft distributes them, and parts of them. */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { WrongFlag } from "./bench-flags.ts";

/** Files of the two splits. */
export interface MrpcFiles {
  readonly train: string;
  readonly test: string;
}

/** Flags that read these files: their quotes and columns. */
export const mrpcColumns = [
  ["--text-column", "#1 String"],
  ["--text-pair-column", "#2 String"],
  ["--label-column", "Quality"],
].flat();

/** Finds them in a folder. Throws WrongFlag. */
export function findMrpc(folder: string): MrpcFiles {
  const files = {
    train: join(folder, "msr_paraphrase_train.txt"),
    test: join(folder, "msr_paraphrase_test.txt"),
  };
  if (existsSync(files.train) && existsSync(files.test)) return files;
  throw new WrongFlag(
    `--data: expected a folder with msr_paraphrase_train.txt and msr_paraphrase_test.txt, found "${folder}"`,
  );
}

/** The lines of a file after its heading. */
export function dataLines(file: string): readonly string[] {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(1);
}

/** The two sentences of every line. */
export function sentencePairs(file: string): readonly (readonly [string, string])[] {
  return dataLines(file).map((line) => {
    const [first = "", second = ""] = line.trimEnd().split("\t").slice(3, 5);
    return [first, second];
  });
}

/** Writes every `parts`-th line of a file from `part` on, under the file's heading; gives the number of rows. */
export function writePart(
  file: string,
  to: string,
  { part, parts }: { readonly part: number; readonly parts: number },
): number {
  const [heading = ""] = readFileSync(file, "utf8").split("\n", 1);
  const rows = dataLines(file).filter((_, index) => index % parts === part);
  writeFileSync(to, `${[heading, ...rows].join("\n")}\n`);
  return rows.length;
}
