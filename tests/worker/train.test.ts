/** The loop of a worker against a scripted coordinator: real gRPC, real ring, plain arithmetic for an engine. */
import assert from "node:assert/strict";
import { after, afterEach, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import {
  CheckpointSchema,
  EvaluateSchema,
  FinishSchema,
  StateSection,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import {
  closeStages,
  prepare,
  sendCommit,
  sendRing,
  sendStep,
  setStage,
  stepCount,
  trainAll,
} from "../support/worker-stage.ts";

afterEach(closeStages);
after(closeStages);

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
        assert.equal(report.tensorHashes.length, 2, "weight and bias");
        assert.deepEqual(report.tensorHashes, expected[index]!.tensorHashes);
        assert.equal(report.weight, expected[index]!.weight);
        assert.ok(report.exchangeBytesSent > 0n);
        assert.equal(report.transport, "shm");
      }
      assert.deepEqual(three.engines[2]!.parameters, alone.engines[0]!.parameters);
    });
  }

  for (const hostIds of [
    ["here", "here", "here"],
    ["here", "there", "elsewhere"],
  ]) {
    it(`gives every rank the weights of all shares on ${new Set(hostIds).size} hosts, and counts their bytes`, async () => {
      const whole = await setStage(3, { hostIds });
      const expected = await trainAll(whole);
      const shared = await setStage(3, { hostIds });
      const reports = await trainAll(shared, 1);
      assert.deepEqual(
        reports.map(({ tensorHashes }) => tensorHashes),
        expected.map(({ tensorHashes }) => tensorHashes),
      );
      for (const { parameters } of shared.engines)
        assert.deepEqual(parameters, whole.engines[0]!.parameters);
      const received = reports.map(({ exchangeBytesReceived }) => Number(exchangeBytesReceived));
      // Of so few parameters another rank has all; its bytes, and the weights' hash, are told of in the report of the next step.
      const weights = shared.engines[0]!.parameters.byteLength;
      assert.deepEqual(
        received.map((bytes) => bytes - received[0]!),
        [0, weights, weights],
      );
      const hashes = reports.map(({ gatheredWeights }) => gatheredWeights);
      assert.equal(hashes[0], 0n);
      assert.equal(new Set(hashes).size, hashes.length);
      assert.ok(expected.every(({ gatheredWeights }) => gatheredWeights === 0n));
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
    sendCommit(stage, 1, 1n, { attempt: 1 });
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
    await assert.rejects(stage.workers[0]!.ended, /Cannot copy the state of step 9/);
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
