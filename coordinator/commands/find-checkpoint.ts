/** Finds the checkpoint that `--resume-from-checkpoint` means, and the settings it was made with. */
import { readdir, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import { readTextFile } from "./read-text-file.ts";

/** A checkpoint to go on from. */
export interface FoundCheckpoint {
  readonly folder: string;
  /** The output folder that it lies in. */
  readonly outputDir: string;
  /** Its `job.yaml`. */
  readonly name: string;
  readonly text: string;
}

const checkpointName = /^checkpoint-(\d+)$/;
const place = { flag: "--resume-from-checkpoint" };

async function namesIn(folder: string): Promise<readonly string[]> {
  return readdir(folder).catch(() => []);
}

/** The checkpoint of the highest step in an output folder, or null. */
export async function lastCheckpoint(outputDir: string): Promise<string | null> {
  const steps = (await namesIn(outputDir)).flatMap((name) => {
    const step = checkpointName.exec(name)?.[1];
    return step === undefined ? [] : [Number(step)];
  });
  return steps.length === 0 ? null : join(outputDir, `checkpoint-${Math.max(...steps)}`);
}

/** The checkpoint written last under `runs/`. */
async function newestUnder(runsFolder: string): Promise<string | null> {
  let newest: { folder: string; at: number } | null = null;
  for (const name of await namesIn(runsFolder)) {
    const folder = await lastCheckpoint(join(runsFolder, name));
    const entry = folder === null ? null : await stat(folder);
    if (folder !== null && entry !== null && entry.mtimeMs > (newest?.at ?? -1)) {
      newest = { folder, at: entry.mtimeMs };
    }
  }
  return newest?.folder ?? null;
}

async function folderOf(wanted: string, outputDir: string | null, runs: string): Promise<string> {
  if (wanted === "last" || wanted === "true") {
    const where = outputDir ?? runs;
    const last = outputDir === null ? await newestUnder(where) : await lastCheckpoint(where);
    if (last !== null) return last;
    throw new BadInput({
      ...place,
      file: where,
      expected: "a checkpoint to go on from",
      found: "none",
    });
  }
  const entry = await stat(wanted).catch(() => null);
  if (entry?.isDirectory() !== true) {
    throw new BadInput({
      ...place,
      file: wanted,
      expected: "a checkpoint folder or `last`",
      found: entry === null ? "no such folder" : "a file",
    });
  }
  return (await lastCheckpoint(wanted)) ?? wanted;
}

/**
 * The checkpoint meant by `wanted`: its folder, an output folder (its last one), or `last`.
 * @param outputDir the output folder that was given, or null: then `last` is the newest in the folder of runs
 */
export async function findCheckpoint(
  wanted: string,
  outputDir: string | null,
  runs = "runs",
): Promise<FoundCheckpoint> {
  const folder = await folderOf(wanted, outputDir, runs);
  const ownFile = join(folder, "job.yaml");
  const has = (await stat(ownFile).catch(() => null)) !== null;
  const name = has ? ownFile : join(dirname(folder), "job.yaml");
  const text = await readTextFile(name, "the settings of the checkpoint");
  return { folder, outputDir: dirname(folder), name, text };
}
