/**
 * Asks workers what a model says of records: each takes the next microbatch when it has room, and the answers come out in
 * the records' order. No ring, no NATS, no output folder.
 */
import { create } from "@bufbuild/protobuf";
import { signalWithin } from "../../foundation/abortable.ts";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import { EvaluateSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { DataRecord } from "../data/dataset.ts";
import type { Fleet } from "./fleet.ts";
import { gather } from "./gather.ts";
import { lossReport } from "./lost-worker.ts";
import type { LaunchedWorkers, PredictionCrew } from "./prediction-crew.ts";
import { PredictionWork, type PredictedRecord } from "./prediction-work.ts";
import type { PrecisionWish } from "../../foundation/precision.ts";
import { predictionPrepare } from "./prepare-message.ts";
import { WorkerLost } from "./worker-lost.ts";

/** What to ask, and whom. */
export interface PredictionOptions {
  /** Who is asked; whoever started it closes it. */
  readonly crew: PredictionCrew;
  readonly model: LoadedModel;
  /** Records in the order in which they are answered, some hundreds at a time: those are sorted by length. */
  readonly records: AsyncIterable<readonly DataRecord[]>;
  /** Samples that a worker computes at a time. */
  readonly microbatchSize: number;
  /** Longest sequence in tokens; null takes the model's limit. */
  readonly maxLength: number | null;
  readonly precision: PrecisionWish;
}

const evaluation = 1n;
const leaveMs = 5_000;

/** Predicts. Rejects with BadInput of the records, with what failed, or with the signal's reason. */
export async function* runPrediction(options: PredictionOptions): AsyncGenerator<PredictedRecord> {
  const { crew, model } = options;
  const { signal } = crew;
  const work = new PredictionWork(options.records, options.microbatchSize);
  crew.serve(model, work);
  const { fleet, launcher } = await crew.launched;
  try {
    await takePlaces(options, { fleet, launcher }, signal);
    const collecting = collect(fleet, work, signal);
    collecting.catch((error: unknown) => work.fail(error));
    yield* work.results(signal);
    await collecting;
    await leave(fleet, signal);
  } catch (error) {
    if (error instanceof WorkerLost) await tellLoss(error, launcher, crew);
    throw error;
  }
}

/** Waits for the workers, has them compile, and gives each a place of its own. */
async function takePlaces(
  options: PredictionOptions,
  { fleet, launcher }: LaunchedWorkers,
  signal: AbortSignal,
): Promise<void> {
  const { workers, threads } = options.crew.options;
  await gather(fleet, launcher, workers, signal);
  const table = layOutTable(options.model.specs);
  await fleet.prepare(predictionPrepare(options, table, threads), signal);
  await fleet.formSingles(fleet.present, signal);
}

/** Hands results on until every worker has no more. */
async function collect(fleet: Fleet, work: PredictionWork, signal: AbortSignal): Promise<void> {
  const value = create(EvaluateSchema, { evaluation, split: "predict", microbatchCount: 0 });
  fleet.broadcast({ case: "evaluate", value });
  await fleet.collect(
    (report) => {
      if (report.case === "evaluatedMicrobatch") work.report(report.value);
      return report.case === "evaluationDone" ? true : undefined;
    },
    AbortSignal.any([signal, fleet.parting]),
  );
}

async function leave(fleet: Fleet, signal: AbortSignal): Promise<void> {
  fleet.finish("all is predicted");
  await fleet.dissolve(signalWithin(signal, leaveMs)).catch(() => {
    // Those that are too slow are ended by the launcher.
  });
}

async function tellLoss(
  lost: WorkerLost,
  launcher: LaunchedWorkers["launcher"],
  { options: { say, clock } }: PredictionCrew,
): Promise<void> {
  const ended = await launcher.endOf(lost.workerId);
  const { workerId, rank, manner, reason, detail } = lost;
  const training = null;
  const at = clock.now();
  const loss = { workerId, rank, manner, reason, detail, at, ...ended, training };
  for (const line of lossReport(loss)) say(line);
}
