/** Gathers a training job: job file or quick start, environment, flags, checkpoint; checked before anything is started. */
import { basename, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { BadInput } from "../../foundation/bad-input.ts";
import { givenIn, type Layer } from "../../foundation/job/job-layers.ts";
import {
  parseJob,
  readLayers,
  type JobSources,
  type ParsedJob,
} from "../../foundation/job/parse-job.ts";
import type { SettingKey } from "../../foundation/job/settings-schema.ts";
import type { CommandContext } from "./command-context.ts";
import { findCheckpoint, type FoundCheckpoint } from "./find-checkpoint.ts";
import { checkOutputFolder, freshFolder } from "./output-folder.ts";
import { readTextFile } from "./read-text-file.ts";
import { isRunning } from "./run-summary.ts";

/** A job that may start. */
export interface PreparedJob extends ParsedJob {
  /** Nothing was given: the built-in quick start. */
  readonly isQuickstart: boolean;
}

const quickstartFile = fileURLToPath(new URL("../../deploy/jobs/quickstart.yaml", import.meta.url));
const jobMaking: readonly SettingKey[] = [
  "model",
  "dataset",
  "trainFile",
  "validationFile",
  "testFile",
  "resumeFromCheckpoint",
];

function textGiven(layers: readonly Layer[], key: SettingKey): string | null {
  const value = givenIn(layers, key)?.value;
  return typeof value === "string" ? value : null;
}

async function readSources(
  jobFile: string | null,
  flags: JobSources["flags"],
  env: NodeJS.ProcessEnv,
): Promise<{ sources: JobSources; isQuickstart: boolean }> {
  if (jobFile !== null) {
    const text = await readTextFile(jobFile, "a job file (YAML or JSON)");
    return { sources: { flags, env, file: { name: jobFile, text } }, isQuickstart: false };
  }
  const layers = readLayers({ flags, env, file: null });
  if (jobMaking.some((key) => givenIn(layers, key) !== undefined)) {
    return { sources: { flags, env, file: null }, isQuickstart: false };
  }
  const text = await readTextFile(quickstartFile, "the quick start's job file");
  return { sources: { flags, env, file: { name: quickstartFile, text } }, isQuickstart: true };
}

async function checkpointOf(layers: readonly Layer[]): Promise<FoundCheckpoint | null> {
  const wanted = textGiven(layers, "resumeFromCheckpoint");
  return wanted === null ? null : findCheckpoint(wanted, textGiven(layers, "outputDir"));
}

async function refuseRunning(outputDir: string): Promise<void> {
  if (!(await isRunning(outputDir))) return;
  throw new BadInput({
    flag: "--output-dir",
    file: outputDir,
    expected: "a folder that no run is writing to",
    found: "a run that goes on",
    remedy: `coordinator control stop --output-dir ${outputDir} ends it`,
  });
}

/**
 * Prepares the job that `coordinator train` was asked for. Writes nothing.
 * @param jobFile the job file that was named, or null
 */
export async function prepareJob(
  jobFile: string | null,
  flags: JobSources["flags"],
  context: Pick<CommandContext, "env" | "now">,
): Promise<PreparedJob> {
  const { sources, isQuickstart } = await readSources(jobFile, flags, context.env);
  const layers = readLayers(sources);
  const checkpoint = await checkpointOf(layers);
  const parsed = parseJob(sources, {
    now: context.now(),
    jobName: jobFile === null ? null : basename(jobFile),
    checkpoint,
  });
  const isDefaultFolder = checkpoint === null && textGiven(layers, "outputDir") === null;
  const { outputDir: wantedFolder, overwriteOutputDir } = parsed.settings;
  const outputDir = isDefaultFolder ? await freshFolder(wantedFolder) : wantedFolder;
  const goesOnThere = checkpoint !== null && resolve(checkpoint.outputDir) === resolve(outputDir);
  await checkOutputFolder(outputDir, overwriteOutputDir || goesOnThere);
  await refuseRunning(outputDir);
  const resumeFromCheckpoint = checkpoint?.folder ?? null;
  const settings = { ...parsed.settings, outputDir, resumeFromCheckpoint };
  return { ...parsed, settings, isQuickstart };
}
