/** A scripted coordinator with workers in this process, and the directives that a run is made of. */
import assert from "node:assert/strict";
import { create } from "@bufbuild/protobuf";
import { serializeTable } from "../../foundation/parameters/table.ts";
import {
  CommitStepSchema,
  FormRingSchema,
  PrepareSchema,
  RunStepSchema,
  type StepReduced,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { cutState } from "../../worker/state-transfer.ts";
import { createPlainEngine, plainTable, plainValues, type PlainEngine } from "./plain-engine.ts";
import { ScriptedCoordinator, type ScriptedMicrobatch } from "./scripted-coordinator.ts";
import type { ScriptedWorker } from "./scripted-worker.ts";
import { startWorker, type WorkerUnderTest } from "./worker-under-test.ts";

const joinToken = "token";
export const microbatchSize = 2;
export const microbatchesPerStep = 4;
export const stepCount = 3;
/** The last step is short: three microbatches, the last with one sample. */
const countOf = (step: number): number => (step === stepCount ? 3 : microbatchesPerStep);

function sampleOf(index: number) {
  const features = [Math.sin(index), Math.cos(index), (index % 5) / 5];
  return { index: BigInt(index), values: plainValues(features), target: features[0]! * 2 - 1 };
}

function microbatchOf(step: number, microbatch: number): ScriptedMicrobatch {
  const isLast = step === stepCount && microbatch === countOf(step) - 1;
  const first = step * 100 + microbatch * microbatchSize;
  const indices = isLast ? [first] : [first, first + 1];
  return { step, microbatch, samples: indices.map(sampleOf) };
}

function dealt(step: number, worldSize: number): number[] {
  return Array.from({ length: countOf(step) }, (_, microbatch) => microbatch % worldSize);
}

/** A coordinator and its workers. */
export interface Stage {
  readonly coordinator: ScriptedCoordinator;
  readonly workers: readonly WorkerUnderTest[];
  readonly seats: readonly ScriptedWorker[];
  readonly engines: readonly PlainEngine[];
}

/** Everything that is open, in the order of opening. */
const open: { close(): Promise<void> | void }[] = [];

export async function setStage(
  worldSize: number,
  options: {
    readonly withGather?: boolean;
    readonly hostIds?: readonly string[];
    readonly engine?: PlainEngine;
  } = {},
): Promise<Stage> {
  const coordinator = await ScriptedCoordinator.start({
    run: "run",
    joinToken,
    state: () => cutState({ parameters: Float32Array.from([0.1, -0.2, 0.3, 0.05]), step: 0 }),
    *microbatches(request, workerId) {
      const rank = Number(workerId.split("-")[1]);
      if (request.split === "train") {
        for (let step = Number(request.fromStep); step <= stepCount; step++) {
          for (const [microbatch, to] of dealt(step, worldSize).entries()) {
            if (to === rank) yield microbatchOf(step, microbatch);
          }
        }
      } else {
        for (let microbatch = rank; microbatch < 3; microbatch += worldSize) {
          yield { ...microbatchOf(stepCount, microbatch), step: 0 };
        }
      }
    },
  });
  open.push(coordinator);
  const workers: WorkerUnderTest[] = [];
  const engines: PlainEngine[] = [];
  for (let rank = 0; rank < worldSize; rank++) {
    const engine = options.engine ?? createPlainEngine({ withGather: options.withGather === true });
    const hostId = options.hostIds?.[rank] ?? "host";
    const worker = await startWorker(coordinator, { joinToken, engine, hostId });
    open.push(worker);
    workers.push(worker);
    engines.push(engine);
  }
  const seats = await Promise.all(workers.map((_, rank) => coordinator.worker(rank)));
  return { coordinator, workers, seats, engines };
}

function sendAll(stage: Stage, send: (seat: ScriptedWorker, rank: number) => void): void {
  for (const [rank, seat] of stage.seats.entries()) send(seat, rank);
}

export async function prepare(stage: Stage, zeroStage: 0 | 1 = 0): Promise<void> {
  sendAll(stage, (seat) =>
    seat.send({
      case: "prepare",
      value: create(PrepareSchema, {
        modelFamily: "plain",
        training: true,
        microbatchSize,
        evalMicrobatchSize: microbatchSize,
        microbatchesPerStep,
        gradientBuckets: 2,
        zeroStage,
        tableJson: serializeTable(plainTable),
      }),
    }),
  );
  for (const seat of stage.seats) {
    const prepared = await seat.next("prepared");
    assert.equal(prepared.tableVersion, plainTable.version);
  }
}

export function sendRing(stage: Stage, generation: bigint, committedStep = 0n): void {
  const members = stage.workers.map(({ place }) => ({ ...place, incarnation: 1n }));
  sendAll(stage, (seat, rank) =>
    seat.send({
      case: "formRing",
      value: create(FormRingSchema, {
        generation,
        rank,
        members,
        committedStep,
        loadState: committedStep === 0n,
      }),
    }),
  );
}

export function sendStep(
  stage: Stage,
  step: number,
  options: { generation: bigint; attempt?: number; onlyRank?: number },
): void {
  const dealtTo = dealt(step, stage.seats.length);
  sendAll(stage, (seat, rank) => {
    if (rank !== (options.onlyRank ?? rank)) return;
    seat.send({
      case: "runStep",
      value: create(RunStepSchema, {
        generation: options.generation,
        step: BigInt(step),
        attempt: options.attempt ?? 0,
        microbatchCount: dealtTo.length,
        microbatches: [...dealtTo.keys()].filter((microbatch) => dealtTo[microbatch] === rank),
        dealtTo,
      }),
    });
  });
}

export function sendCommit(
  stage: Stage,
  step: number,
  generation: bigint,
  { attempt = 0, onlyRank }: { readonly attempt?: number; readonly onlyRank?: number } = {},
): void {
  const commit = { generation, step: BigInt(step), attempt, learningRate: 0.1 };
  sendAll(stage, (seat, rank) => {
    if (rank !== (onlyRank ?? rank)) return;
    seat.send({ case: "commitStep", value: create(CommitStepSchema, commit) });
  });
}

/** Runs the whole job and gives rank 0's reports. */
export async function trainAll(
  stage: Stage,
  zeroStage: 0 | 1 = 0,
): Promise<readonly StepReduced[]> {
  await prepare(stage, zeroStage);
  return await trainInRing(stage, 1n);
}

/** Forms a ring that loads the state of the start, runs all steps in it, and gives rank 0's reports. */
export async function trainInRing(
  stage: Stage,
  generation: bigint,
): Promise<readonly StepReduced[]> {
  sendRing(stage, generation);
  for (const seat of stage.seats) await seat.next("ringReady");
  const reports: StepReduced[] = [];
  sendStep(stage, 1, { generation });
  for (let step = 1; step <= stepCount; step++) {
    const reduced = await Promise.all(stage.seats.map((seat) => seat.next("stepReduced")));
    for (const other of reduced.slice(1)) {
      assert.equal(other.lossSum, reduced[0]!.lossSum);
      assert.deepEqual(other.tensorHashes, reduced[0]!.tensorHashes);
    }
    reports.push(reduced[0]!);
    sendCommit(stage, step, generation);
    if (step < stepCount) sendStep(stage, step + 1, { generation });
    for (const seat of stage.seats)
      assert.equal((await seat.next("stepApplied")).step, BigInt(step));
  }
  return reports;
}

/** Closes all stages. */
export async function closeStages(): Promise<void> {
  for (const one of open.splice(0).toReversed()) await one.close();
}
