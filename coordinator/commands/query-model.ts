/** Finds and opens a fine-tuned model for `predict` and `eval`, and asks workers about records. */
import { availableCores } from "../../foundation/host/available-cores.ts";
import { BadInput } from "../../foundation/bad-input.ts";
import { cacheFolder } from "../../foundation/cache/cache-folder.ts";
import { traitsOf } from "../../foundation/device.ts";
import { resolveModel, type HubAccess } from "../../foundation/hub/hub.ts";
import { presentGpus, refuseMissingGpus } from "../../foundation/host/graphics-cards.ts";
import { processorFeatures } from "../../foundation/host/processor-features.ts";
import { refuseSlowPrecision } from "../../foundation/job/check-precision.ts";
import type { PrecisionWish } from "../../foundation/precision.ts";
import {
  familyOfFolder,
  loadModel,
  type LoadedModel,
} from "../../foundation/model-files/load-model.ts";
import { weightBytesOf } from "../../foundation/model-files/weight-files.ts";
import { ensureNativeParts } from "../../foundation/native/native-parts.ts";
import { createProgressSink } from "../../foundation/native/progress.ts";
import type { DataRecord } from "../data/dataset.ts";
import { threadsOf } from "../launch/thread-share.ts";
import { maxLengthOf } from "../run/prepare-message.ts";
import { workersFor } from "../run/prediction-workers.ts";
import { PredictionCrew } from "../run/prediction-crew.ts";
import type { PredictedRecord } from "../run/prediction-work.ts";
import { runPrediction } from "../run/run-prediction.ts";
import type { CommandContext } from "./command-context.ts";
import { flagValue } from "./compute-flags.ts";

type Flags = Readonly<Record<string, unknown>>;

/** How a model is asked. */
export interface Query {
  /** Null where nobody has said: then the work decides. */
  readonly workers: number | null;
  readonly threadsPerWorker: number | null;
  readonly device: "cpu" | "gpu";
  readonly precision: PrecisionWish;
  readonly microbatchSize: number;
  readonly maxLength: number | null;
}

/** Samples that a worker computes at a time, when nothing else is asked for. */
const microbatchSizeDefault = 32;

/** Reads the flags that `predict` and `eval` share. Throws BadInput. @param visibleDevices `CUDA_VISIBLE_DEVICES` */
export function queryOf(flags: Flags, visibleDevices: string | undefined): Query {
  const device = flagValue(flags, "device", "device");
  const precision = {
    bf16: flagValue(flags, "bf16", "bf16"),
    forceBf16: flagValue(flags, "forceBf16", "force-bf16"),
    fp16: flagValue(flags, "fp16", "fp16"),
    forceFp16: flagValue(flags, "forceFp16", "force-fp16"),
  };
  const workers = flags["workers"] === undefined ? null : flagValue(flags, "workers", "workers");
  refuseMissingGpus(device, workers ?? 1, { present: presentGpus(), visibleDevices });
  refuseSlowPrecision({ ...precision, device }, processorFeatures());
  return {
    workers,
    threadsPerWorker: flagValue(flags, "threadsPerWorker", "threads-per-worker"),
    device,
    precision,
    microbatchSize:
      flags["batch-size"] === undefined
        ? microbatchSizeDefault
        : flagValue(flags, "perDeviceEvalBatchSize", "batch-size"),
    maxLength: flagValue(flags, "maxLength", "max-length"),
  };
}

/** Where a model lies, and what it was found with. */
export interface FoundModel {
  readonly folder: string;
  readonly hub: HubAccess;
}

/** Where a command tells what it fetches: standard error, for its output may be read by a program. */
function hubAccess(context: CommandContext): HubAccess {
  const { env, stderr, interrupts, nowMs } = context;
  const progress = createProgressSink({
    output: stderr,
    isTerminal: stderr.isTTY === true,
    now: nowMs,
  });
  return { env, cacheFolder: cacheFolder(env), progress, signal: interrupts.finish };
}

/** Finds the model that `--model` names. Throws BadInput where there is none. */
export async function findModel(flags: Flags, context: CommandContext): Promise<FoundModel> {
  const hub = hubAccess(context);
  const named = flagValue(flags, "model", "model") ?? "";
  if (named === "quickstart") {
    throw new BadInput({
      flag: "--model",
      expected: "a fine-tuned model, such as the output folder of a run",
      found: "quickstart, which is what the quick start begins with",
    });
  }
  return { folder: await resolveModel(named, "main", hub), hub };
}

/** Loads it. Throws BadInput for one without a trained head. */
export async function openModel({ folder }: FoundModel, query: Query): Promise<LoadedModel> {
  const options = { labels: null, problemType: null, seed: 0, requireHead: true };
  const model = await loadModel(folder, options);
  maxLengthOf(query.maxLength, model);
  return model;
}

/** Starts the workers that will be asked; whoever does closes them. Throws BadInput of the model's config. */
export async function startCrew(
  { folder, hub }: FoundModel,
  query: Query & { readonly tokens: number | null },
  context: CommandContext,
): Promise<PredictionCrew> {
  const { env, platform, interrupts, stderr } = context;
  const { device } = query;
  const cores = availableCores();
  const { threadsMatter } = await familyOfFolder(folder);
  // On a GPU, and where it is said how many threads compute, one worker is one place to compute.
  const sharesCores =
    traitsOf(device).isSharedByWorkers && query.threadsPerWorker === null && !threadsMatter;
  const workers =
    query.workers ??
    workersFor({
      tokens: sharesCores ? query.tokens : null,
      weightBytes: await weightBytesOf(folder),
      cores,
      freeBytes: process.availableMemory(),
    });
  return new PredictionCrew({
    workers,
    device,
    threads: threadsOf({
      wanted: query.threadsPerWorker,
      cores,
      workersHere: workers,
      threadsMatter,
    }),
    ensureNative: (served, signal) =>
      ensureNativeParts({
        env,
        device,
        progress: hub.progress,
        signal,
        parts: ["tensorflow", "binding"],
        beforeFetch: () => served,
      }),
    env,
    platform,
    clock: context,
    say: (line) => void stderr.write(`${line}\n`),
    signal: interrupts.finish,
  });
}

/** Asks workers about records; what they say comes in the order of the records. */
export function predictions(
  crew: PredictionCrew,
  model: LoadedModel,
  query: Query,
  records: AsyncIterable<readonly DataRecord[]>,
): AsyncGenerator<PredictedRecord> {
  const { microbatchSize, maxLength, precision } = query;
  return runPrediction({ crew, model, records, microbatchSize, maxLength, precision });
}
