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
import { layOutTable, serializeTable } from "../../foundation/parameters/table.ts";
import {
  EvaluateSchema,
  PrepareSchema,
  type EvaluatedMicrobatch,
  type Prepare,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { DataRecord } from "../data/dataset.ts";
import { LocalLauncher } from "../launch/local-launcher.ts";
import { threadsOf } from "../launch/thread-share.ts";
import { startCoordinatorServer, type RunSource } from "../server/coordinator-server.ts";
import { Roster } from "../server/roster.ts";
import { chunksOf } from "../server/state-stream.ts";
import { bucketLengthsOf } from "./bucket-lengths.ts";
import { Closers } from "./closers.ts";
import { Fleet, WorkerLost } from "./fleet.ts";
import { evaluationMicrobatch } from "./microbatch-feed.ts";
import { PredictionDesk, type PredictedRecord } from "./prediction-desk.ts";
import { maxLengthOf } from "./prepare-message.ts";
import type { Clock } from "./run-context.ts";

export type { PredictedRecord } from "./prediction-desk.ts";

/** What to ask, and by which means. */
export interface PredictionOptions {
  readonly model: LoadedModel;
  /** Records in the order in which they are answered, a few at a time. */
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
  readonly native: Pick<NativeParts, "bindingFile" | "tensorflowVersion">;
  readonly env: NodeJS.ProcessEnv;
  readonly platform: NodeJS.Platform;
  readonly clock: Pick<Clock, "nowMs">;
  /** Told sums over each microbatch as it is done: of the loss, 0 without labels, and of the weights. */
  readonly onMicrobatch?: (sums: { readonly lossSum: number; readonly weight: number }) => void;
  /** Told the last words of a worker that is lost. */
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

const evaluation = 1n;
const stopGraceMs = 2_000;
const leaveMs = 5_000;

interface Started {
  readonly fleet: Fleet;
  readonly launcher: LocalLauncher;
}

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
    const desk = new PredictionDesk(options.records, options.microbatchSize);
    const started = await startWorkers(options, desk, { closers, signal });
    try {
      yield* answers(started.fleet, desk, options, signal);
      await leave(started.fleet, signal);
    } catch (error) {
      throw await explained(error, started.launcher, options.say);
    }
  } finally {
    await closers.close((error) => options.say(`closing: ${String(error)}`));
  }
}

function prepareMessage(options: PredictionOptions): Prepare {
  const { model, microbatchSize, workers } = options;
  const maxLength = maxLengthOf(options.maxLength, model);
  return create(PrepareSchema, {
    modelFamily: model.family,
    modelConfigJson: model.configJson,
    tokenizerFiles: Object.fromEntries(model.tokenizerFiles),
    training: false,
    microbatchSize,
    evalMicrobatchSize: microbatchSize,
    maxLength,
    bucketLengths: [...bucketLengthsOf(maxLength, "bucket")],
    threads: threadsOf(options.threadsPerWorker, options.cores, workers) ?? 0,
    tableJson: serializeTable(layOutTable(model.specs)),
    microbatchesPerStep: 1,
  });
}

/** Serves weights and records; takes no state back. */
function sourceOf(model: LoadedModel, desk: PredictionDesk): RunSource {
  return {
    readState: () => chunksOf({ step: 0, parameters: model.state, moments: null }),
    async *readMicrobatches(_member, _request, signal) {
      for (;;) {
        const dealt = await desk.next(signal);
        if (dealt === null) return;
        yield evaluationMicrobatch(dealt.microbatch, dealt.records);
      }
    },
    writeState: () => Promise.reject(new Error("Cannot store a state: this is a prediction")),
  };
}

async function startWorkers(
  options: PredictionOptions,
  desk: PredictionDesk,
  { closers, signal }: { readonly closers: Closers; readonly signal: AbortSignal },
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
  const source = sourceOf(options.model, desk);
  const server = await startCoordinatorServer({ run, listen: "127.0.0.1:0", roster, source });
  closers.add(() => server.close());
  closers.add(() => launcher.stop(stopGraceMs));
  const fleet = new Fleet(roster, { onJoined: () => {}, onLeft: () => {} });
  await launcher.launch({ workers, run, coordinatorAddress: server.address, joinToken });
  try {
    await gather(fleet, launcher, workers, signal);
    await fleet.prepare(prepareMessage(options), signal);
    await fleet.formSingles(fleet.present, signal);
  } catch (error) {
    throw await explained(error, launcher, options.say);
  }
  return { fleet, launcher };
}

/** Waits for the workers; one that ends before it has joined ends the wait. */
async function gather(
  fleet: Fleet,
  launcher: LocalLauncher,
  workers: number,
  signal: AbortSignal,
): Promise<void> {
  const gone = new AbortController();
  void launcher.firstEnd.then((workerId) => {
    const loss = { rank: null, reason: "it ended before it had joined" };
    gone.abort(new WorkerLost(workerId, loss));
  });
  await fleet.gather(workers, AbortSignal.any([signal, gone.signal]));
}

async function* answers(
  fleet: Fleet,
  desk: PredictionDesk,
  options: PredictionOptions,
  signal: AbortSignal,
): AsyncGenerator<PredictedRecord> {
  fleet.broadcast({
    case: "evaluate",
    value: create(EvaluateSchema, { evaluation, split: "predict", microbatchCount: 0 }),
  });
  const done = new Set<string>();
  while (done.size < fleet.worldSize) {
    const { member, report } = await fleet.next(signal);
    if (report.case === "evaluationDone") done.add(member.workerId);
    if (report.case !== "evaluatedMicrobatch") continue;
    const { microbatch, columns, lossSum, weight } = report.value;
    desk.answer(microbatch, logitsOf(report.value), columns);
    options.onMicrobatch?.({ lossSum, weight });
    yield* desk.ready();
  }
}

/** The logits as numbers; their bytes need not lie on a boundary of four. */
function logitsOf({ logits }: EvaluatedMicrobatch): Float32Array {
  return new Float32Array(logits.slice().buffer);
}

async function leave(fleet: Fleet, signal: AbortSignal): Promise<void> {
  fleet.finish("all is predicted");
  await fleet.dissolve(AbortSignal.any([signal, AbortSignal.timeout(leaveMs)])).catch(() => {
    // Those that are too slow are ended by the launcher.
  });
}

/** Says what a lost worker last said. */
async function explained(
  error: unknown,
  launcher: LocalLauncher,
  say: (line: string) => void,
): Promise<unknown> {
  if (!(error instanceof WorkerLost)) return error;
  const { lastLines } = await launcher.endOf(error.workerId);
  for (const line of [...error.detail.split("\n"), ...lastLines]) {
    if (line !== "") say(`    ${line}`);
  }
  return error;
}
