/**
 * Asks workers what a model says of records: workers are started, each takes the next microbatch when it has room, and
 * the answers come out in the records' order. No ring, no NATS, no output folder.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import type { LoadedModel } from "../../foundation/model-files/load-model.ts";
import type { NativeParts } from "../../foundation/native/native-parts.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import { EvaluateSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { DataRecord } from "../data/dataset.ts";
import { LocalLauncher } from "../launch/local-launcher.ts";
import { familyOf } from "../../foundation/families/family.ts";
import { threadsOf } from "../launch/thread-share.ts";
import { startCoordinatorServer, type RunSource } from "../server/coordinator-server.ts";
import { Roster } from "../server/roster.ts";
import { chunksOf } from "../server/state-stream.ts";
import { Closers } from "./closers.ts";
import { Fleet } from "./fleet.ts";
import { gather } from "./gather.ts";
import { lossReport } from "./lost-worker.ts";
import { evaluationMicrobatch } from "./microbatch-feed.ts";
import { PredictionWork, type PredictedRecord } from "./prediction-work.ts";
import type { PrecisionWish } from "../../foundation/precision.ts";
import { predictionPrepare } from "./prepare-message.ts";
import type { Clock } from "./run-context.ts";
import { WorkerLost } from "./worker-lost.ts";

/** What to ask, and by which means. */
export interface PredictionOptions {
  readonly model: LoadedModel;
  /** Records in the order in which they are answered, some hundreds at a time: those are sorted by length. */
  readonly records: AsyncIterable<readonly DataRecord[]>;
  readonly workers: number;
  /** Samples that a worker computes at a time. */
  readonly microbatchSize: number;
  /** Longest sequence in tokens; null takes the model's limit. */
  readonly maxLength: number | null;
  readonly threadsPerWorker: number | null;
  /** Processor cores that may be used. */
  readonly cores: number;
  readonly device: "cpu" | "gpu";
  readonly precision: PrecisionWish;
  readonly native: Pick<NativeParts, "bindingFile" | "tensorflowVersion">;
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly clock: Clock;
  /** Told of a worker that is lost, line by line. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

interface Started {
  readonly fleet: Fleet;
  readonly launcher: LocalLauncher;
}

interface Means {
  readonly closers: Closers;
  readonly signal: AbortSignal;
}

const evaluation = 1n;
const stopGraceMs = 2_000;
const leaveMs = 5_000;

/**
 * Predicts. Rejects with BadInput of the records, with what failed, or with the signal's reason; every process is ended
 * then, and also when the caller stops asking.
 */
export async function* runPrediction(options: PredictionOptions): AsyncGenerator<PredictedRecord> {
  const closers = new Closers();
  const over = new AbortController();
  closers.add(() => over.abort(new DOMException("The prediction is over", "AbortError")));
  const signal = AbortSignal.any([options.signal, over.signal]);
  try {
    const work = new PredictionWork(options.records, options.microbatchSize);
    const { fleet, launcher } = await launch(options, work, { closers, signal });
    try {
      await takePlaces(options, fleet, launcher, signal);
      const collecting = collect(fleet, work, signal);
      collecting.catch((error: unknown) => work.fail(error));
      yield* work.results(signal);
      await collecting;
      await leave(fleet, signal);
    } catch (error) {
      if (error instanceof WorkerLost) await tellLoss(error, launcher, options);
      throw error;
    }
  } finally {
    await closers.close((error) => options.say(`closing: ${String(error)}`));
  }
}

/** Serves weights and records; takes no state back. */
function sourceOf(model: LoadedModel, work: PredictionWork): RunSource {
  return {
    readState: () => chunksOf({ step: 0, parameters: model.state, moments: null }),
    async *readMicrobatches({ workerId }, _request, signal) {
      for (;;) {
        const task = await work.next(workerId, signal);
        if (task === null) return;
        yield evaluationMicrobatch(task.microbatch, task.records);
      }
    },
    writeState: () => Promise.reject(new Error("Cannot store a state: this is a prediction")),
  };
}

/** Starts the server and the workers' processes. */
async function launch(
  options: PredictionOptions,
  work: PredictionWork,
  { closers }: Means,
): Promise<Started> {
  const { env, platform, native, device, workers, clock } = options;
  const run = `predict-${randomBytes(4).toString("hex")}`;
  const joinToken = randomBytes(24).toString("base64url");
  const logFolder = await mkdtemp(join(tmpdir(), "ringmaster-predict-"));
  closers.add(() => rm(logFolder, { recursive: true, force: true }));
  const launcher = new LocalLauncher({ env, platform, logFolder, device, ...native });
  const roster = new Roster({
    run,
    joinToken,
    seats: workers,
    natsUrl: "",
    nowMs: clock.nowMs,
    idOf: (candidate) => launcher.idOf(candidate.processId),
  });
  const source = sourceOf(options.model, work);
  const server = await startCoordinatorServer({
    run,
    listen: "127.0.0.1:0",
    tls: null,
    roster,
    source,
  });
  closers.add(() => server.close());
  closers.add(() => launcher.stop(stopGraceMs));
  await launcher.launch({
    workers,
    run,
    coordinatorAddress: server.address,
    joinToken,
    tls: null,
  });
  return {
    fleet: new Fleet(roster, { onJoined: () => {}, onLeft: () => {}, onProfiled: () => {} }),
    launcher,
  };
}

/** Waits for the workers, has them compile, and gives each a place of its own. */
async function takePlaces(
  options: PredictionOptions,
  fleet: Fleet,
  launcher: LocalLauncher,
  signal: AbortSignal,
): Promise<void> {
  const { workers, threadsPerWorker, cores, model } = options;
  await gather(fleet, launcher, workers, signal);
  const threads = threadsOf({
    wanted: threadsPerWorker,
    cores,
    workersHere: workers,
    threadsMatter: familyOf(model.configJson).threadsMatter,
  });
  const table = layOutTable(model.specs);
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
  await fleet.dissolve(AbortSignal.any([signal, AbortSignal.timeout(leaveMs)])).catch(() => {
    // Those that are too slow are ended by the launcher.
  });
}

async function tellLoss(
  lost: WorkerLost,
  launcher: LocalLauncher,
  { say, clock }: Pick<PredictionOptions, "say" | "clock">,
): Promise<void> {
  const ended = await launcher.endOf(lost.workerId);
  const { workerId, rank, manner, reason, detail } = lost;
  const training = null;
  const at = clock.now();
  const loss = { workerId, rank, manner, reason, detail, at, ...ended, training };
  for (const line of lossReport(loss)) say(line);
}
