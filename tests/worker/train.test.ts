/** The loop of a worker against a scripted coordinator: real gRPC, real ring, plain arithmetic for an engine. */
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { serializeTable } from "../../foundation/parameters/table.ts";
import {
  CheckpointSchema,
  CommitStepSchema,
  EvaluateSchema,
  FinishSchema,
  FormRingSchema,
  PrepareSchema,
  RunStepSchema,
  StateSection,
  type StepReduced,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { cutState } from "../../worker/state-transfer.ts";
import {
  createPlainEngine,
  plainTable,
  plainValues,
  type PlainEngine,
} from "../support/plain-engine.ts";
import {
  ScriptedCoordinator,
  type ScriptedMicrobatch,
  type ScriptedWorker,
} from "../support/scripted-coordinator.ts";
import { startWorker, type WorkerUnderTest } from "../support/worker-under-test.ts";

const joinToken = "token";
const microbatchSize = 2;
const microbatchesPerStep = 4;
const stepCount = 3;
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

interface Stage {
  readonly coordinator: ScriptedCoordinator;
  readonly workers: readonly WorkerUnderTest[];
  readonly seats: readonly ScriptedWorker[];
  readonly engines: readonly PlainEngine[];
}

const open: { close(): Promise<void> | void }[] = [];

async function setStage(
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

async function prepare(stage: Stage): Promise<void> {
  sendAll(stage, (seat) =>
    seat.send({
      case: "prepare",
      value: create(PrepareSchema, {
        modelFamily: "plain",
        training: true,
        microbatchSize,
        evalMicrobatchSize: microbatchSize,
        microbatchesPerStep,
        tableJson: serializeTable(plainTable),
      }),
    }),
  );
  for (const seat of stage.seats) {
    const prepared = await seat.next("prepared");
    assert.equal(prepared.tableVersion, plainTable.version);
  }
}

function sendRing(stage: Stage, generation: bigint, committedStep = 0n): void {
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

function sendStep(
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

function sendCommit(stage: Stage, step: number, generation: bigint): void {
  sendAll(stage, (seat) =>
    seat.send({
      case: "commitStep",
      value: create(CommitStepSchema, { generation, step: BigInt(step), learningRate: 0.1 }),
    }),
  );
}

/** Runs the whole job and gives rank 0's reports. */
async function trainAll(stage: Stage): Promise<readonly StepReduced[]> {
  await prepare(stage);
  sendRing(stage, 1n);
  for (const seat of stage.seats) await seat.next("ringReady");
  const reports: StepReduced[] = [];
  sendStep(stage, 1, { generation: 1n });
  for (let step = 1; step <= stepCount; step++) {
    const reduced = await Promise.all(stage.seats.map((seat) => seat.next("stepReduced")));
    for (const other of reduced.slice(1)) {
      assert.equal(other.lossSum, reduced[0]!.lossSum);
      assert.deepEqual(other.reducedHash, reduced[0]!.reducedHash);
    }
    reports.push(reduced[0]!);
    sendCommit(stage, step, 1n);
    if (step < stepCount) sendStep(stage, step + 1, { generation: 1n });
    for (const seat of stage.seats)
      assert.equal((await seat.next("stepApplied")).step, BigInt(step));
  }
  return reports;
}

async function closeAll(): Promise<void> {
  for (const one of open.splice(0).toReversed()) await one.close();
}

afterEach(closeAll);
after(closeAll);

describe("WorkerLife", () => {
  it("trains step by step, and leaves when the run is over", async () => {
    const stage = await setStage(1);
    const reports = await trainAll(stage);
    assert.deepEqual(
      reports.map(({ weight }) => weight),
      [8, 8, 5],
    );
    assert.equal(reports[2]!.samples, 5);
    assert.ok(reports[2]!.lossSum / 5 < reports[0]!.lossSum / 8, "it learns");
    assert.equal(reports[0]!.transport, "none");
    assert.ok(reports[1]!.timings!.updateMs > 0, "the update of the step before");
    stage.seats[0]!.send({ case: "finish", value: create(FinishSchema, { reason: "done" }) });
    assert.equal(await stage.workers[0]!.ended, "done");
  });

  for (const withGather of [false, true]) {
    it(`trains the same bits with three workers as with one${withGather ? ", gathering too" : ""}`, async () => {
      const alone = await setStage(1, { withGather });
      const expected = await trainAll(alone);
      const three = await setStage(3, { withGather });
      const reports = await trainAll(three);
      for (const [index, report] of reports.entries()) {
        assert.equal(report.lossSum, expected[index]!.lossSum);
        assert.deepEqual(report.reducedHash, expected[index]!.reducedHash);
        assert.equal(report.weight, expected[index]!.weight);
        assert.ok(report.exchangeBytesSent > 0n);
        assert.equal(report.transport, "shm");
      }
      assert.deepEqual(three.engines[2]!.parameters, alone.engines[0]!.parameters);
    });
  }

  it("exchanges by gRPC between hosts", async () => {
    const stage = await setStage(2, { hostIds: ["here", "there"] });
    const reports = await trainAll(stage);
    assert.equal(reports[0]!.transport, "grpc");
  });

  it("changes nothing before the commit, and redoes a step with the same batches", async () => {
    const stage = await setStage(2);
    await prepare(stage);
    sendRing(stage, 1n);
    for (const seat of stage.seats) await seat.next("ringReady");
    const before = stage.engines[0]!.parameters.slice();
    const losses: number[] = [];
    for (const attempt of [0, 1]) {
      sendStep(stage, 1, { generation: 1n, attempt });
      const reduced = await Promise.all(stage.seats.map((seat) => seat.next("stepReduced")));
      assert.equal(reduced[0]!.attempt, attempt);
      losses.push(reduced[0]!.lossSum);
    }
    assert.equal(losses[0], losses[1]);
    assert.deepEqual(stage.engines[0]!.parameters, before);
    sendCommit(stage, 1, 1n);
    await stage.seats[0]!.next("stepApplied");
    assert.notDeepEqual(stage.engines[0]!.parameters, before);
  });

  it("drops directives of another generation", async () => {
    const stage = await setStage(1);
    await prepare(stage);
    sendRing(stage, 2n);
    await stage.seats[0]!.next("ringReady");
    sendRing(stage, 1n);
    sendStep(stage, 1, { generation: 1n });
    sendCommit(stage, 1, 1n);
    sendStep(stage, 1, { generation: 2n });
    const message = await stage.seats[0]!.nextMessage();
    assert.equal(message.report.case, "stepReduced");
    assert.equal(message.generation, 2n);
  });

  it("abandons a step for a new ring, and goes on in it", async () => {
    const stage = await setStage(2);
    await prepare(stage);
    sendRing(stage, 1n);
    for (const seat of stage.seats) await seat.next("ringReady");
    // Rank 1 is not told to run the step, so rank 0 waits for it in the exchange.
    sendStep(stage, 1, { generation: 1n, onlyRank: 0 });
    await stage.seats[0]!.heard(/exchange/);
    sendRing(stage, 2n, 0n);
    for (const seat of stage.seats) await seat.next("ringReady");
    sendStep(stage, 1, { generation: 2n, attempt: 1 });
    const reduced = await Promise.all(stage.seats.map((seat) => seat.next("stepReduced")));
    assert.equal(reduced[0]!.weight, 8);
    assert.equal(reduced[1]!.lossSum, reduced[0]!.lossSum);
  });

  it("survives the death of a neighbour, says so, and trains on without it", async () => {
    const stage = await setStage(2);
    await prepare(stage);
    sendRing(stage, 1n);
    for (const seat of stage.seats) await seat.next("ringReady");
    await stage.workers[1]!.close();
    await stage.seats[1]!.left();
    sendStep(stage, 1, { generation: 1n, onlyRank: 0 });
    await stage.seats[0]!.heard(/ring broken: worker-1/);
    const alone = { ...stage, seats: [stage.seats[0]!], workers: [stage.workers[0]!] };
    sendRing(alone, 2n);
    await stage.seats[0]!.next("ringReady");
  });

  it("evaluates what it is dealt, padding rows left out", async () => {
    const stage = await setStage(1);
    await prepare(stage);
    sendRing(stage, 1n);
    const seat = stage.seats[0]!;
    await seat.next("ringReady");
    seat.send({
      case: "evaluate",
      value: create(EvaluateSchema, { evaluation: 1n, split: "validation", microbatchCount: 3 }),
    });
    const rows: number[] = [];
    for (let microbatch = 0; microbatch < 3; microbatch++) {
      const value = await seat.next("evaluatedMicrobatch");
      assert.equal(value.microbatch, microbatch);
      assert.equal(value.columns, 1);
      rows.push(value.logits.byteLength / 4);
    }
    assert.deepEqual(rows, [2, 2, 1]);
    assert.equal((await seat.next("evaluationDone")).evaluation, 1n);
    const read = stage.coordinator.reads.find(({ split }) => split === "validation");
    assert.equal(read?.evaluation, 1n);
  });

  it("uploads the state of the last step, while it goes on", async () => {
    const stage = await setStage(1);
    await trainAll(stage);
    stage.seats[0]!.send({
      case: "checkpoint",
      value: create(CheckpointSchema, {
        checkpoint: 5n,
        step: BigInt(stepCount),
        withOptimizer: true,
      }),
    });
    await stage.coordinator.uploaded(1);
    const { uploads } = stage.coordinator;
    assert.deepEqual(
      uploads.map(({ chunk }) => chunk?.section),
      [StateSection.PARAMETERS, StateSection.FIRST_MOMENT, StateSection.SECOND_MOMENT],
    );
    assert.equal(uploads[0]!.chunk!.step, BigInt(stepCount));
    const sent = new Float32Array(Uint8Array.from(uploads[0]!.chunk!.data).buffer);
    assert.deepEqual(sent, Float32Array.from(stage.engines[0]!.parameters));
  });

  it("refuses a checkpoint of a step that it has not applied", async () => {
    const stage = await setStage(1);
    await prepare(stage);
    stage.seats[0]!.send({ case: "checkpoint", value: create(CheckpointSchema, { step: 9n }) });
    await assert.rejects(stage.workers[0]!.ended, /Cannot checkpoint step 9/);
  });

  it("ends with the session when the coordinator goes", async () => {
    const stage = await setStage(1);
    await prepare(stage);
    stage.coordinator.close();
    await assert.rejects(stage.workers[0]!.ended, { name: "SessionLost" });
  });

  it("leaves at once when told so in the middle of an exchange", async () => {
    const stage = await setStage(2);
    await prepare(stage);
    sendRing(stage, 1n);
    for (const seat of stage.seats) await seat.next("ringReady");
    sendStep(stage, 1, { generation: 1n, onlyRank: 0 });
    await stage.seats[0]!.heard(/exchange/);
    stage.seats[0]!.send({ case: "finish", value: create(FinishSchema, { reason: "stopped" }) });
    assert.equal(await stage.workers[0]!.ended, "stopped");
  });
});
