/** What is made of copies of the state while steps go on, in a worker's loop: the order of computing, copying and updating. */
import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { create } from "@bufbuild/protobuf";
import { CheckpointSchema, HashWeightsSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { markAllWritten, type RunMarks } from "../../worker/engine/write-marks.ts";
import { createPlainEngine, plainTable, type PlainEngine } from "../support/plain-engine.ts";
import {
  closeStages,
  prepare,
  sendCommit,
  sendRing,
  sendStep,
  setStage,
} from "../support/worker-stage.ts";
import { TensorHasher } from "../../worker/hashing/tensor-hasher.ts";

after(closeStages);

const generation = 1n;
/** In which what does not wait for a copy would begin. */
const headStartMs = 200;

/** An engine whose copies are whole when the test says so, and what was asked of it. */
function heldEngine() {
  const plain = createPlainEngine();
  const calls: string[] = [];
  const copying: RunMarks[] = [];
  const engine: typeof plain = {
    ...plain,
    readState(withOptimizer, run) {
      calls.push(`copy ${withOptimizer ? "state" : "weights"}`);
      if (run !== undefined) copying.push(run);
      return plain.readState(withOptimizer);
    },
    runPhase(phase, batch, at, feeds) {
      if (at.microbatch === 0) calls.push(`compute ${at.step}`);
      return plain.runPhase(phase, batch, at, feeds);
    },
    update(options) {
      calls.push(`update ${options.step}`);
      return plain.update(options);
    },
    giveBack(state) {
      calls.push("give back");
      return plain.giveBack(state);
    },
  };
  const finishCopy = (): void => {
    calls.push("copied");
    for (const run of copying.splice(0)) markAllWritten(run);
  };
  return { engine, calls, finishCopy };
}

/** A worker with that engine whose first step is committed. */
async function stageAfterStep(engine: PlainEngine) {
  const stage = await setStage(1, { engine });
  const seat = stage.seats[0]!;
  await prepare(stage);
  sendRing(stage, generation);
  await seat.next("ringReady");
  sendStep(stage, 1, { generation });
  await seat.next("stepReduced");
  sendCommit(stage, 1, generation);
  return { stage, seat };
}

/** A file that is nowhere. */
const nowhere = {
  processId: process.pid,
  descriptor: 999_999,
  device: 1n,
  inode: 1n,
  bytes: 65_536,
};

describe("copies of the state", () => {
  it("are lent once to a coordinator that cannot read them, and sent from then on", async () => {
    const plain = createPlainEngine();
    const engine: typeof plain = {
      ...plain,
      async readState(withOptimizer, run) {
        return { ...(await plain.readState(withOptimizer, run)), files: { parameters: nowhere } };
      },
    };
    const { stage, seat } = await stageAfterStep(engine);
    await seat.next("stepApplied");
    const ask = (checkpoint: bigint): void => {
      const asked = { checkpoint, step: 1n, withOptimizer: false, mayLend: true };
      seat.send({ case: "checkpoint", value: create(CheckpointSchema, asked) });
    };
    ask(1n);
    await stage.coordinator.uploaded(2);
    ask(2n);
    await stage.coordinator.uploaded(3);
    const { uploads } = stage.coordinator;
    const bytes = BigInt(engine.parameters.byteLength);
    assert.deepEqual(
      uploads.map(({ checkpoint, chunk }) => [checkpoint, chunk?.lent?.bytes, chunk?.data.length]),
      [
        [1n, bytes, 0],
        [1n, undefined, Number(bytes)],
        [2n, undefined, Number(bytes)],
      ],
    );
  });

  it("are made beside the next step, whose update waits for them; one serves upload and hashes", async () => {
    const { engine, calls, finishCopy } = heldEngine();
    const { stage, seat } = await stageAfterStep(engine);
    const asked = { checkpoint: 1n, step: 1n, withOptimizer: true };
    seat.send({ case: "checkpoint", value: create(CheckpointSchema, asked) });
    const hash = create(HashWeightsSchema, { generation, step: 1n });
    seat.send({ case: "hashWeights", value: hash });
    sendStep(stage, 2, { generation });
    assert.equal((await seat.next("stepApplied")).step, 1n);
    const weights = engine.parameters.slice();
    // Nothing comes between: no hashes before the step is computed.
    assert.equal((await seat.next("stepReduced")).step, 2n);
    sendCommit(stage, 2, generation);
    await sleep(headStartMs);
    assert.equal(stage.coordinator.uploads.length, 0, "what is not whole is not sent");
    finishCopy();
    const reports = [await seat.nextMessage(), await seat.nextMessage()].map(
      ({ report }) => report,
    );
    const hashed = reports.find((report) => report.case === "weightsHashed");
    assert.ok(reports.some((report) => report.case === "stepApplied"));
    await stage.coordinator.uploaded(1);
    const steps = ["compute 1", "update 1", "copy state", "compute 2", "copied", "update 2"];
    assert.deepEqual(
      calls.filter((call) => call !== "give back"),
      steps,
    );
    const sizes = plainTable.entries.map(({ size }) => size);
    const never = new AbortController().signal;
    assert.deepEqual(
      hashed?.value.tensorHashes,
      await new TensorHasher().hashTensors(weights, sizes, never),
      "of the weights after step 1",
    );
    const sent = stage.coordinator.uploads[0]!.chunk!.data;
    assert.deepEqual(new Float32Array(Uint8Array.from(sent).buffer), Float32Array.from(weights));
  });

  it("keep a new state from being loaded before they are whole", async () => {
    const { engine, calls, finishCopy } = heldEngine();
    const load = engine.loadState.bind(engine);
    engine.loadState = (state) => {
      calls.push("load");
      return load(state);
    };
    const stage = await setStage(1, { engine });
    const seat = stage.seats[0]!;
    await prepare(stage);
    sendRing(stage, generation);
    await seat.next("ringReady");
    const hash = create(HashWeightsSchema, { generation, step: 0n });
    seat.send({ case: "hashWeights", value: hash });
    sendRing(stage, generation + 1n);
    await sleep(headStartMs);
    finishCopy();
    await seat.next("weightsHashed");
    await seat.next("ringReady");
    assert.deepEqual(
      calls.filter((call) => call !== "give back"),
      ["load", "copy weights", "copied", "load"],
    );
  });
});
