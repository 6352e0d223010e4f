/** Opens what a job names, data and model, and checks them against each other and the settings. Starts nothing. */
import { BadInput } from "../../foundation/bad-input.ts";
import { familyOf } from "../../foundation/families/family.ts";
import { cacheFolder } from "../../foundation/cache/cache-folder.ts";
import { resolveModel, type HubAccess } from "../../foundation/hub/hub.ts";
import { frozenNames } from "../../foundation/job/freeze.ts";
import { packsSequences } from "../../foundation/job/packs-sequences.ts";
import { planRun, totalStepsOf, withWholeIntervals, type Plan } from "../../foundation/job/plan.ts";
import type { DataSettings, JobSettings } from "../../foundation/job/settings.ts";
import { createMetricTally } from "../../foundation/metrics/metric-tally.ts";
import { loadModel, type LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { ProgressSink } from "../../foundation/native/progress.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import type { Dataset } from "../data/dataset.ts";
import { openData, type OpenedData } from "../data/open-data.ts";
import { ensureQuickstart } from "../quickstart/quickstart.ts";
import { maxLengthOf } from "../run/prepare-message.ts";
import { surveyLengths, type LengthSurvey } from "../run/survey-lengths.ts";
import { statedLabels } from "./stated-labels.ts";

/** The world of an opening. */
export interface OpenWorld {
  readonly env: NodeJS.ProcessEnv;
  readonly progress: ProgressSink;
  readonly signal: AbortSignal;
}

/** A job whose data and model are open. The caller closes the data. */
export interface OpenedJob {
  /** The settings with whole intervals, the length in force, and no evaluation where there is nothing to evaluate on. */
  readonly settings: JobSettings;
  readonly data: OpenedData;
  readonly model: LoadedModel;
  readonly plan: Plan;
  readonly notes: readonly string[];
}

interface Places {
  readonly modelFolder: string;
  readonly data: DataSettings;
}

/** Local places of model and data; fetches the quick start's and hub models. */
async function placesOf(settings: JobSettings, world: OpenWorld, hub: HubAccess): Promise<Places> {
  const { model, modelRevision, data, resumeFromCheckpoint } = settings;
  const needsModel = resumeFromCheckpoint === null;
  const usesQuickstart = data.dataset === "quickstart" || (needsModel && model === "quickstart");
  const quickstart = usesQuickstart ? await ensureQuickstart(world) : null;
  const found = {
    data:
      data.dataset === "quickstart" && quickstart !== null
        ? quickstartData(data, quickstart)
        : data,
  };
  if (resumeFromCheckpoint !== null) return { ...found, modelFolder: resumeFromCheckpoint };
  if (model === "quickstart" && quickstart !== null) {
    return { ...found, modelFolder: quickstart.modelFolder };
  }
  return { ...found, modelFolder: await resolveModel(model, modelRevision, hub) };
}

function quickstartData(
  data: DataSettings,
  files: { readonly trainFile: string; readonly validationFile: string },
): DataSettings {
  return {
    ...data,
    dataset: null,
    textColumn: data.textColumn ?? "text",
    labelColumn: data.labelColumn ?? "label",
    trainFiles: [files.trainFile],
    validationFiles:
      data.validationFiles.length > 0 ? data.validationFiles : [files.validationFile],
  };
}

/** Evaluation settings against what there is to evaluate on. Throws BadInput where something depends on it. */
function evaluated(
  settings: JobSettings,
  data: OpenedData,
): { settings: JobSettings; notes: string[] } {
  if (data.validation !== null || settings.evalStrategy === "no") return { settings, notes: [] };
  const needs = [
    ["--load-best-model-at-end", settings.loadBestModelAtEnd],
    ["--early-stopping-patience", settings.earlyStoppingPatience !== null],
    ["--lr-scheduler-type", settings.lrSchedulerType === "reduce_lr_on_plateau"],
  ] as const;
  const flag = needs.find(([, needed]) => needed)?.[0];
  if (flag === undefined) return { settings: { ...settings, evalStrategy: "no" }, notes: [] };
  throw new BadInput({
    flag,
    expected: "data to evaluate on",
    found: "no validation file",
    remedy: "--validation-file FILE, or --validation-split 0.1",
  });
}

function checkMetric(settings: JobSettings, model: LoadedModel): void {
  const tally = createMetricTally(model.problemType, model.labels.length);
  const names = ["loss", ...Object.keys(tally.metrics())];
  const watched = settings.evalStrategy !== "no";
  if (watched && !names.includes(settings.metricForBestModel)) {
    throw new BadInput({
      flag: "--metric-for-best-model",
      expected: `one of ${names.join(", ")}`,
      found: settings.metricForBestModel,
    });
  }
}

/** Lengths of the data; null for a model that reads no text. Throws BadInput for lengths that do not fit the longest. */
async function surveyed(
  train: Dataset,
  settings: JobSettings & { readonly maxLength: number },
  model: LoadedModel,
  signal: AbortSignal,
): Promise<LengthSurvey | null> {
  const { maxLength, bucketLengths, padding } = settings;
  if (model.tokenizerFiles.size === 0) return null;
  const isOneLength = padding === "max_length" || packsSequences(settings);
  const given = bucketLengths.length > 0;
  if (given && (bucketLengths.at(-1) !== maxLength || (isOneLength && bucketLengths.length > 1))) {
    throw new BadInput({
      flag: "--bucket-lengths",
      expected: isOneLength ? `only ${maxLength}` : `lengths up to ${maxLength}, the longest`,
      found: bucketLengths.join(" "),
      remedy: "left out, they are chosen",
    });
  }
  return surveyLengths(train, { settings, model, maxLength, signal });
}

function paddingNotes(survey: LengthSurvey | null, settings: JobSettings): readonly string[] {
  if (survey === null) return [];
  if (packsSequences(settings)) return ["sequences lie one behind the other: no padding"];
  const { bucketLengths, paddingShare } = survey;
  const share = Math.round(100 * paddingShare);
  return [`sequences are padded to ${bucketLengths.join(", ")} tokens: about ${share} % padding`];
}

/** Opens a training job. Throws BadInput; then nothing stays open. */
export async function openJob(
  asked: JobSettings,
  workers: number,
  world: OpenWorld,
): Promise<OpenedJob> {
  const { env, signal } = world;
  const cache = cacheFolder(env);
  const hub: HubAccess = { ...world, cacheFolder: cache };
  const places = await placesOf(asked, world, hub);
  const labels = await statedLabels(places.modelFolder);
  const data = await openData(places.data, { labels, cacheFolder: cache, hub, signal });
  try {
    const train = data.train;
    if (train === null) throw new Error("Cannot train: the opened data has no training part");
    const model = await loadModel(places.modelFolder, {
      labels: data.labels,
      problemType: data.problemType,
      seed: asked.seed,
      requireHead: asked.resumeFromCheckpoint !== null,
    });
    const maxLength = maxLengthOf(asked.maxLength, model);
    const table = layOutTable(model.specs, frozenNames(asked.freeze, model.specs));
    const { settings: watched, notes } = evaluated(asked, data);
    checkMetric(watched, model);
    const whole = withWholeIntervals(watched, totalStepsOf(watched, train.size));
    const measured = { ...whole, maxLength };
    const survey = await surveyed(train, measured, model, signal);
    const settings = { ...measured, bucketLengths: survey?.bucketLengths ?? [] };
    const { configJson } = model;
    const plan = planRun({
      settings,
      workers,
      trainSize: train.size,
      table,
      configJson,
      maxLength,
      lookedUp: familyOf(configJson).lookedUp,
    });
    return {
      settings,
      data: { ...data, train: survey?.train ?? train },
      model,
      plan,
      notes: [...data.notes, ...model.notes, ...notes, ...paddingNotes(survey, settings)],
    };
  } catch (error) {
    await closeData(data);
    throw error;
  }
}

/** Closes every part of opened data. */
export async function closeData(data: OpenedData): Promise<void> {
  for (const part of [data.train, data.validation, data.test]) await part?.close();
}
