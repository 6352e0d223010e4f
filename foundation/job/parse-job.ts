/**
 * Makes a job of what the user gave: flags over environment over job file over (for a resumed run) the checkpoint's
 * `job.yaml` over defaults. Everything that can be said without looking at model or data is checked here.
 */
import { BadInput } from "../bad-input.ts";
import { traitsOf } from "../device.ts";
import { inexactNote, wireForms } from "../gradient-wire.ts";
import { checkSettings } from "./check-settings.ts";
import { chosenData } from "./chosen-data.ts";
import {
  environmentLayer,
  fileLayer,
  flagLayer,
  givenIn,
  type Layer,
  type Place,
} from "./job-layers.ts";
import { resumedLayer } from "./resumed-layer.ts";
import { kebabCase } from "./setting.ts";
import {
  settingKeys,
  settingsSchema,
  type FlatSettings,
  type SettingKey,
} from "./settings-schema.ts";
import type { JobSettings, LaunchSettings } from "./settings.ts";

/** A text and what it is called in messages. */
export interface NamedText {
  readonly name: string;
  readonly text: string;
}

/** What the user gave. */
export interface JobSources {
  /** Raw values of flags by name in kebab-case, without the dashes. */
  readonly flags: Readonly<Record<string, unknown>>;
  readonly env: NodeJS.ProcessEnv;
  readonly file: NamedText | null;
}

/** What else a job is made of. */
export interface JobContext {
  /** For the name of the default output folder. */
  readonly now: Date;
  /** Name of the job when nothing else names it: the job file's, or null to take the data's. */
  readonly jobName: string | null;
  /** A resumed run's `job.yaml` and the output folder that its checkpoint lies in. */
  readonly checkpoint: (NamedText & { readonly outputDir: string }) | null;
}

/** A job, checked, and the lines to tell the user about it. */
export interface ParsedJob {
  readonly settings: JobSettings;
  readonly launch: LaunchSettings;
  readonly notes: readonly string[];
}

/** The layers of a job in rising order. Throws BadInput at the first wrong value. */
export function readLayers(sources: JobSources): Layer[] {
  const { file, env, flags } = sources;
  const layers = file === null ? [] : [fileLayer(file.text, file.name)];
  return [...layers, environmentLayer(env), flagLayer(flags)];
}

/** Where a key was given, or its flag when it was not. */
function placeFinder(layers: readonly Layer[]): (key: SettingKey) => Place {
  return (key) => givenIn(layers, key)?.place ?? { flag: `--${kebabCase(key)}` };
}

function merged(layers: readonly Layer[]): FlatSettings {
  const values = settingKeys.map((key) => [key, givenIn(layers, key)?.value] as const);
  return settingsSchema.parse(
    Object.fromEntries(values.filter(([, value]) => value !== undefined)),
  );
}

function safeName(text: string): string {
  const name = text.replaceAll(/[^A-Za-z0-9_.-]+/g, "-").replace(/^[^A-Za-z0-9]+/, "");
  return name === "" ? "job" : name.slice(0, 64);
}

function jobNameOf(flat: FlatSettings, context: JobContext): string {
  const source = flat.job ?? context.jobName ?? flat.dataset ?? flat.trainFile[0] ?? "job";
  const last = source.split(/[/\\]/).findLast((part) => part !== "") ?? "job";
  return safeName(flat.job ?? last.replace(/\.[A-Za-z0-9.]*$/, ""));
}

/** `2026-11-24T07:15:02Z` as `20261124-071502`. */
function compactTime(now: Date): string {
  return now.toISOString().slice(0, 19).replaceAll(/[-:]/g, "").replace("T", "-");
}

function withoutPrefix(metric: string): string {
  return metric.replace(/^eval_/, "");
}

function requiredModel(flat: FlatSettings): string {
  if (flat.model !== null) return flat.model;
  throw new BadInput({
    flag: "--model",
    expected: "a folder or a hub id",
    found: "none",
    remedy: "such as --model bert-base-uncased; --model quickstart is MiniLM-L6",
  });
}

function jobSettings(flat: FlatSettings, context: JobContext): JobSettings {
  const job = jobNameOf(flat, context);
  const metric = withoutPrefix(flat.metricForBestModel);
  const greaterIsBetter = flat.greaterIsBetter ?? !/(loss|mse|error)$/.test(metric);
  const { dataset, textColumn, textPairColumn, labelColumn, validationSplit } = flat;
  const files = { trainFiles: flat.trainFile, validationFiles: flat.validationFile };
  const columns = { textColumn, textPairColumn, labelColumn };
  const plateauMode =
    flat.lrSchedulerType === "reduce_lr_on_plateau" && greaterIsBetter ? { mode: "max" } : {};
  return {
    ...pick(flat, sharedJobKeys),
    job,
    model: requiredModel(flat),
    data: { dataset, ...files, testFiles: flat.testFile, ...columns, validationSplit },
    outputDir:
      flat.outputDir ?? context.checkpoint?.outputDir ?? `runs/${job}-${compactTime(context.now)}`,
    lrSchedulerKwargs: { ...plateauMode, ...flat.lrSchedulerKwargs },
    evalSteps: flat.evalSteps ?? flat.loggingSteps,
    metricForBestModel: metric,
    greaterIsBetter,
    zeroStage: ownsUpdates(flat) ? 1 : flat.zeroStage,
  };
}

/** Whether each part of an update is to have one owner, as workers may update to other bits. */
function ownsUpdates({ allowMixedHardware, device }: FlatSettings): boolean {
  return allowMixedHardware && traitsOf(device).hasKernels;
}

const sharedJobKeys = [
  "modelRevision",
  "runName",
  "overwriteOutputDir",
  "perDeviceTrainBatchSize",
  "perDeviceEvalBatchSize",
  "trainBatchSize",
  "learningRate",
  "weightDecay",
  "adamBeta1",
  "adamBeta2",
  "adamEpsilon",
  "maxGradNorm",
  "numTrainEpochs",
  "maxSteps",
  "lrSchedulerType",
  "warmupSteps",
  "warmupRatio",
  "freeze",
  "evalStrategy",
  "saveStrategy",
  "saveSteps",
  "saveTotalLimit",
  "loadBestModelAtEnd",
  "earlyStoppingPatience",
  "earlyStoppingThreshold",
  "labelSmoothingFactor",
  "seed",
  "groupByLength",
  "maxLength",
  "padding",
  "bucketLengths",
  "convolutionTable",
  "resumeFromCheckpoint",
  "loggingSteps",
  "eager",
  "bf16",
  "gradientCheckpointing",
  "forceBf16",
  "fp16",
  "forceFp16",
  "gradientWire",
  "gradientBuckets",
  "zeroStage",
  "device",
] as const satisfies readonly (SettingKey & keyof JobSettings)[];

function pick<Source, Key extends keyof Source>(
  source: Source,
  keys: readonly Key[],
): Pick<Source, Key> {
  const picked: Partial<Pick<Source, Key>> = {};
  for (const key of keys) picked[key] = source[key];
  return picked as Pick<Source, Key>;
}

function launchSettings(flat: FlatSettings): LaunchSettings {
  return {
    ...pick(flat, [
      "workers",
      "maxWorkers",
      "spawnWorkers",
      "metricsListen",
      "nats",
      "joinToken",
      "tlsCert",
      "tlsKey",
      "tlsCa",
      "threadsPerWorker",
      "verifyEvery",
      "profile",
      "profileSteps",
      "allowMixedHardware",
    ]),
    listen: flat.listen ?? (flat.spawnWorkers ? "127.0.0.1:0" : "0.0.0.0:7077"),
  };
}

/** Parses and checks a job. Throws BadInput, which names the flag, variable or line that is wrong. */
export function parseJob(sources: JobSources, context: JobContext): ParsedJob {
  const given = readLayers(sources);
  const notes = given.flatMap((layer) => layer.notes);
  let layers = given;
  if (context.checkpoint !== null) {
    const { name, text } = context.checkpoint;
    const resumed = resumedLayer(fileLayer(text, name), given);
    notes.push(...resumed.notes);
    layers = [resumed, ...given];
  }
  const flat = { ...merged(layers), ...chosenData(layers) };
  const settings = jobSettings(flat, context);
  const launch = launchSettings(flat);
  checkSettings({ settings, launch, flat, placeOf: placeFinder(given) });
  if (ownsUpdates(flat) && flat.zeroStage === 0) {
    notes.push(
      "--allow-mixed-hardware: each part of an update has one owner, as with --zero-stage 1",
    );
  }
  if (!wireForms[settings.gradientWire].exact) {
    notes.push(`--gradient-wire ${settings.gradientWire}: ${inexactNote}`);
  }
  return { settings, launch, notes };
}
