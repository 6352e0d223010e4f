/**
 * Real worker processes, TensorFlow and all, led by a scripted coordinator: three small models train the same bits
 * on one worker as on three, the convolutional nets' running averages and the two-tower model's gather included.
 */
import assert from "node:assert/strict";
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { create } from "@bufbuild/protobuf";
import {
  cifarResnetTensors,
  parseCifarResnetConfig,
} from "../../foundation/families/cifar-resnet.ts";
import {
  tinyConvnetTensors,
  parseTinyConvnetConfig,
} from "../../foundation/families/tiny-convnet.ts";
import { parseTwoTowerConfig, twoTowerTensors } from "../../foundation/families/two-tower.ts";
import { layOutTable, serializeTable, type TensorSpec } from "../../foundation/parameters/table.ts";
import {
  CheckpointSchema,
  CommitStepSchema,
  FinishSchema,
  FormRingSchema,
  OptimizerSettingsSchema,
  PrepareSchema,
  RunStepSchema,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { cutState } from "../../worker/state-transfer.ts";
import { bindingUnderTest } from "../support/engine-under-test.ts";
import { ScriptedCoordinator } from "../support/scripted-coordinator.ts";
import type { ScriptedWorker } from "../support/scripted-worker.ts";

const bin = fileURLToPath(new URL("../../worker/bin.mjs", import.meta.url));
const microbatchSize = 4;
const microbatchesPerStep = 4;
const stepCount = 3;
/** The last step is short, and its last microbatch has one sample. */
const countOf = (step: number): number => (step === stepCount ? 3 : microbatchesPerStep);

interface Family {
  readonly name: string;
  readonly config: object;
  readonly specs: readonly TensorSpec[];
  /** float32 values of a record. */
  readonly width: number;
  readonly labels: number;
}

const convnetConfig = {
  model_type: "tiny-convnet",
  image_size: 6,
  channels: 2,
  filters: 3,
  num_labels: 3,
};
const resnetConfig = {
  model_type: "cifar-resnet",
  image_size: 8,
  channels: 2,
  hidden_sizes: [16, 24],
  depths: [1, 1],
  num_labels: 3,
};
const towerConfig = {
  model_type: "two-tower",
  left_size: 5,
  right_size: 3,
  hidden_size: 8,
  embedding_size: 4,
  hidden_dropout_prob: 0.1,
};
const families: readonly Family[] = [
  {
    name: "tiny-convnet",
    config: convnetConfig,
    specs: tinyConvnetTensors(parseTinyConvnetConfig(convnetConfig)),
    width: 72,
    labels: 3,
  },
  {
    name: "cifar-resnet",
    config: resnetConfig,
    specs: cifarResnetTensors(parseCifarResnetConfig(resnetConfig)),
    width: 128,
    labels: 3,
  },
  {
    name: "two-tower",
    config: towerConfig,
    specs: twoTowerTensors(parseTwoTowerConfig(towerConfig)),
    width: 8,
    labels: 0,
  },
];

const folder = mkdtempSync(join(tmpdir(), "ringmaster-families-"));
const children = new Set<ChildProcess>();
const coordinators: ScriptedCoordinator[] = [];

after(() => {
  for (const child of children) child.kill("SIGKILL");
  for (const coordinator of coordinators) coordinator.close();
  rmSync(folder, { recursive: true, force: true });
});

function sampleOf({ width, labels }: Family, index: number) {
  const values = Float32Array.from({ length: width }, (_, i) => Math.sin(index * 1.7 + i * 0.9));
  return {
    index: BigInt(index),
    values: new Uint8Array(values.buffer),
    ...(labels > 0 ? { label: index % labels } : {}),
  };
}

function samplesOf(family: Family, step: number, microbatch: number) {
  const isLast = step === stepCount && microbatch === countOf(step) - 1;
  const first = step * 100 + microbatch * microbatchSize;
  return Array.from({ length: isLast ? 1 : microbatchSize }, (_, i) => sampleOf(family, first + i));
}

/** What a run came to: each worker's test of itself, loss sums and hashes by step, and the final state. */
interface Outcome {
  readonly tests: readonly string[];
  readonly losses: readonly number[];
  readonly hashes: readonly string[];
  readonly state: Buffer;
}

async function startRun(family: Family, worldSize: number) {
  const table = layOutTable(family.specs);
  const parameters = Float32Array.from(
    { length: table.stateSize },
    (_, i) => Math.sin(i * 12.9898) / 3,
  );
  // A running variance must not be negative.
  for (const { kind, offset, size } of table.entries) {
    if (kind === "buffer") parameters.fill(1, offset, offset + size);
  }
  const coordinator = await ScriptedCoordinator.start({
    run: family.name,
    joinToken: "token",
    state: () => cutState({ parameters, step: 0 }),
    *microbatches(request, workerId) {
      const rank = Number(workerId.split("-")[1]);
      for (let step = Number(request.fromStep); step <= stepCount; step++) {
        for (let index = rank; index < countOf(step); index += worldSize) {
          yield { step, microbatch: index, samples: samplesOf(family, step, index) };
        }
      }
    },
  });
  coordinators.push(coordinator);
  const bindingFile = await bindingUnderTest();
  const ranks = Array.from({ length: worldSize }, (_, rank) => rank);
  for (const _ of ranks) {
    const child = spawn(process.execPath, [bin, "--coordinator", coordinator.address], {
      env: {
        PATH: process.env["PATH"],
        RINGMASTER_CACHE: folder,
        RINGMASTER_JOIN_TOKEN: "token",
        RINGMASTER_BINDING_FILE: bindingFile,
      },
      stdio: ["ignore", "ignore", "ignore"],
    });
    children.add(child);
  }
  const seats: ScriptedWorker[] = [];
  for (const rank of ranks) seats.push(await coordinator.worker(rank));
  // Processes may attend in another order than they joined in; records are dealt by worker id.
  seats.sort((left, right) => left.workerId.localeCompare(right.workerId));
  return { coordinator, seats, table };
}

async function train(family: Family, worldSize: number): Promise<Outcome> {
  const { coordinator, seats, table } = await startRun(family, worldSize);
  const optimizer = create(OptimizerSettingsSchema, {
    beta1: 0.9,
    beta2: 0.999,
    epsilon: 1e-8,
    weightDecay: 0.01,
    maxGradNorm: 1,
  });
  const prepare = create(PrepareSchema, {
    modelFamily: family.name,
    modelConfigJson: JSON.stringify(family.config),
    tableJson: serializeTable(table),
    training: true,
    optimizer,
    microbatchSize,
    evalMicrobatchSize: microbatchSize,
    microbatchesPerStep,
    maxLength: 1,
    seed: 7n,
    threads: 1,
    // Where there is a ring, so that what one worker sums at once goes around in pieces while it is computed.
    gradientBuckets: 3,
    selfTest: true,
  });
  for (const seat of seats) seat.send({ case: "prepare", value: prepare });
  const tests: string[] = [];
  for (const seat of seats) {
    const { tableVersion, selfTest } = await seat.next("prepared");
    assert.equal(tableVersion, table.version);
    assert.ok(selfTest !== undefined, "every family is tested");
    tests.push(`${selfTest.gradient} ${selfTest.update}`);
  }
  const members = seats.map(({ workerId, introduction }) => ({
    workerId,
    incarnation: 1n,
    ringAddress: introduction.ringAddress,
    hostId: introduction.hostId,
  }));
  for (const [rank, seat] of seats.entries()) {
    const value = create(FormRingSchema, { generation: 1n, rank, members, loadState: true });
    seat.send({ case: "formRing", value });
  }
  for (const seat of seats) await seat.next("ringReady");
  const losses: number[] = [];
  const hashes: string[] = [];
  for (let step = 1; step <= stepCount; step++) {
    const reports = await runStep(seats, step);
    const [first] = reports;
    assert.ok(Number.isFinite(first!.gradNorm));
    for (const other of reports) assert.deepEqual(other.tensorHashes, first!.tensorHashes);
    losses.push(first!.lossSum);
    hashes.push(first!.tensorHashes.join(" "));
    const commit = { generation: 1n, step: BigInt(step), learningRate: 0.01 };
    for (const seat of seats) {
      seat.send({ case: "commitStep", value: create(CommitStepSchema, commit) });
    }
    for (const seat of seats) await seat.next("stepApplied");
  }
  const checkpoint = { checkpoint: 1n, step: BigInt(stepCount), withOptimizer: true };
  // The last rank's state, not the first's: all hold the same.
  seats.at(-1)!.send({ case: "checkpoint", value: create(CheckpointSchema, checkpoint) });
  await coordinator.uploaded(1);
  await finish(seats);
  return {
    tests,
    losses,
    hashes,
    state: Buffer.concat(coordinator.uploads.map((u) => u.chunk!.data)),
  };
}

async function runStep(seats: readonly ScriptedWorker[], step: number) {
  const microbatchCount = countOf(step);
  const dealtTo = Array.from({ length: microbatchCount }, (_, index) => index % seats.length);
  for (const [rank, seat] of seats.entries()) {
    const microbatches = [...dealtTo.keys()].filter((index) => dealtTo[index] === rank);
    const own = { generation: 1n, step: BigInt(step), microbatchCount, microbatches, dealtTo };
    seat.send({ case: "runStep", value: create(RunStepSchema, own) });
  }
  return await Promise.all(seats.map((seat) => seat.next("stepReduced")));
}

/** Every worker leaves with code 0. */
async function finish(seats: readonly ScriptedWorker[]): Promise<void> {
  const ends = [...children].map(async (child) => {
    if (child.exitCode === null) await once(child, "exit");
    return child.exitCode;
  });
  for (const seat of seats) {
    seat.send({ case: "finish", value: create(FinishSchema, { reason: "done" }) });
  }
  assert.deepEqual(new Set(await Promise.all(ends)), new Set([0]));
  children.clear();
}

describe("worker processes", () => {
  for (const family of families) {
    it(`train ${family.name} to the same bits on one worker and on three`, async () => {
      const alone = await train(family, 1);
      const three = await train(family, 3);
      assert.equal(three.tests.length, 3);
      assert.deepEqual(new Set(three.tests), new Set(alone.tests));
      assert.deepEqual(three.losses, alone.losses);
      assert.deepEqual(three.hashes, alone.hashes);
      assert.ok(three.state.equals(alone.state), "weights, averages and moments");
    });
  }
});
