/** A job that trains in milliseconds a step: a tiny BERT tells two kinds of lines apart. It goes on until it is stopped. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeTinyBert } from "./tiny-bert.ts";

const rowsOfSplit = 64;
const never = ["eval-strategy: no", "save-strategy: no"];

function linesOf(first: number): string {
  const rows = Array.from({ length: rowsOfSplit }, (_, index) => first + index);
  return rows.map((row) => `${row % 2 === 0 ? "abc" : "xyz"} ${row},${row % 2}`).join("\n");
}

/** Writes model and data into a folder and returns the text of a job file; `when` says when it evaluates and saves. */
export async function writeTinyJob(
  folder: string,
  when: readonly string[] = never,
): Promise<string> {
  const model = join(folder, "model");
  const trainFile = join(folder, "train.csv");
  const validationFile = join(folder, "validation.csv");
  await writeTinyBert(model);
  await writeFile(trainFile, `text,label\n${linesOf(0)}\n`);
  await writeFile(validationFile, `text,label\n${linesOf(rowsOfSplit)}\n`);
  return [
    `model: ${model}`,
    `train-file: ${trainFile}`,
    `validation-file: ${validationFile}`,
    "text-column: text",
    "label-column: label",
    "max-steps: 1000000",
    "max-length: 16",
    "train-batch-size: 8",
    "per-device-train-batch-size: 2",
    ...when,
    "",
  ].join("\n");
}
