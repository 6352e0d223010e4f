/**
 * The two models for tests, through the real engine: their gradients are those of their losses, whatever the split into
 * microbatches; padding samples do not count.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  parseTinyConvnetConfig,
  tinyConvnetTensors,
} from "../../../foundation/families/tiny-convnet.ts";
import { parseTwoTowerConfig, twoTowerTensors } from "../../../foundation/families/two-tower.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import { SampleRecordSchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Engine, PreparedPrograms, PrepareOptions } from "../../../worker/engine/engine.ts";
import { collateValues } from "../../../worker/model/collate-values.ts";
import {
  engineUnderTest,
  jobOf,
  relativeDifference,
  someValues,
  sumStep,
} from "../../support/engine-under-test.ts";
import { tinyConvnet } from "../../support/tiny-convnet.ts";

const tower = {
  model_type: "two-tower",
  left_size: 3,
  right_size: 5,
  hidden_size: 6,
  embedding_size: 4,
  hidden_dropout_prob: 0.25,
} as const;
const towerSpecs = twoTowerTensors(parseTwoTowerConfig(tower));
const convnetSpecs = tinyConvnetTensors(parseTinyConvnetConfig(tinyConvnet));
const plainConvnet = { ...tinyConvnet, batch_norm: false };
const plainSpecs = tinyConvnetTensors(parseTinyConvnetConfig(plainConvnet));

/** Samples `first` to `last` as one microbatch of `rows` rows. */
function rowsOf(
  form: { width: number; labels: number },
  first: number,
  last: number,
  rows: number,
) {
  const samples = Array.from({ length: last - first }, (_, i) => {
    const index = first + i;
    const values = new Uint8Array(someValues(form.width, index).buffer);
    return create(SampleRecordSchema, { index: BigInt(index), values, label: index % 3 });
  });
  return collateValues(samples, { microbatchSize: rows, ...form });
}

let engine: Engine;
before(async () => {
  engine = await engineUnderTest();
});
after(() => engine.close());

async function start(job: PrepareOptions, state: Float32Array): Promise<PreparedPrograms> {
  const prepared = await engine.prepare(job);
  await engine.loadState({ parameters: state, step: 0 });
  return prepared;
}

describe("two-tower", () => {
  const form = { width: 8, labels: 0 };
  const state = initialState(towerSpecs, 3);
  const still = { ...tower, hidden_dropout_prob: 0 };

  it("gives the same sums for any split of the global batch", async () => {
    const whole = await start(
      jobOf({
        family: "two-tower",
        config: still,
        specs: towerSpecs,
        microbatchSize: 8,
        microbatchesPerStep: 1,
      }),
      state,
    );
    const expected = await sumStep(engine, whole, [rowsOf(form, 0, 7, 8)]);
    const split = await start(
      jobOf({ family: "two-tower", config: still, specs: towerSpecs, microbatchSize: 4 }),
      state,
    );
    const sums = await sumStep(engine, split, [rowsOf(form, 0, 4, 4), rowsOf(form, 4, 7, 4)]);
    assert.ok(relativeDifference(sums, expected) < 1e-5, `${relativeDifference(sums, expected)}`);
    assert.equal(sums.at(-1), 7);
  });

  it("has the gradient of its loss, with dropout falling alike in both phases", async () => {
    const job = jobOf({ family: "two-tower", config: tower, specs: towerSpecs });
    const prepared = await start(job, state);
    const batches = [rowsOf(form, 0, 4, 4), rowsOf(form, 4, 7, 4)];
    const sums = await sumStep(engine, prepared, batches);
    const table = layOutTable(towerSpecs);
    const lossAt = async (parameters: Float32Array): Promise<number> => {
      await engine.loadState({ parameters, step: 0 });
      return (await sumStep(engine, prepared, batches)).at(-2)!;
    };
    const step = 0.01;
    for (const entry of table.entries) {
      // Central differences along the gradient of each tensor.
      const gradient = sums.slice(entry.trainableOffset!, entry.trainableOffset! + entry.size);
      const norm = Math.hypot(...gradient);
      assert.ok(norm > 1e-3, entry.name);
      const moved = (sign: number): Float32Array => {
        const parameters = state.slice();
        for (const [i, value] of gradient.entries()) {
          parameters[entry.offset + i]! += (sign * step * value) / norm;
        }
        return parameters;
      };
      const slope = ((await lossAt(moved(1))) - (await lossAt(moved(-1)))) / (2 * step);
      assert.ok(Math.abs(slope - norm) < 0.01 * norm + 1e-3, `${entry.name}: ${slope} ${norm}`);
    }
  });
});

describe("tiny-convnet", () => {
  const form = { width: 32, labels: 3 };

  it("gives the same sums for any split when nothing is normalised over the batch", async () => {
    const state = initialState(plainSpecs, 3);
    const job = { family: "tiny-convnet", config: plainConvnet, specs: plainSpecs };
    const whole = await start(jobOf({ ...job, microbatchSize: 8 }), state);
    const expected = await sumStep(engine, whole, [rowsOf(form, 0, 7, 8)]);
    const split = await start(jobOf({ ...job, microbatchSize: 3 }), state);
    const batches = [rowsOf(form, 0, 3, 3), rowsOf(form, 3, 6, 3), rowsOf(form, 6, 7, 3)];
    const sums = await sumStep(engine, split, batches);
    assert.ok(relativeDifference(sums, expected) < 1e-5, `${relativeDifference(sums, expected)}`);
  });

  it("keeps padding samples out of its statistics", async () => {
    const state = initialState(convnetSpecs, 3);
    const job = { family: "tiny-convnet", config: tinyConvnet, specs: convnetSpecs };
    const exact = await start(jobOf({ ...job, microbatchSize: 5 }), state);
    const expected = await sumStep(engine, exact, [rowsOf(form, 0, 5, 5)]);
    const padded = await start(jobOf({ ...job, microbatchSize: 8 }), state);
    const batch = rowsOf(form, 0, 5, 8);
    // What padding rows hold must not matter.
    batch.arrays["values"]!.fill(1e3, 5 * form.width);
    const sums = await sumStep(engine, padded, [batch]);
    assert.ok(relativeDifference(sums, expected) < 1e-5, `${relativeDifference(sums, expected)}`);
  });

  it("averages the running statistics of its microbatches by their weights", async () => {
    const state = initialState(convnetSpecs, 3);
    const job = jobOf({ family: "tiny-convnet", config: tinyConvnet, specs: convnetSpecs });
    const prepared = await start(job, state);
    const [first, second] = [rowsOf(form, 0, 4, 4), rowsOf(form, 4, 5, 4)];
    const sums = await sumStep(engine, prepared, [first, second]);
    const alone = await sumStep(engine, prepared, [first]);
    const rest = await sumStep(engine, prepared, [second]);
    const table = layOutTable(convnetSpecs);
    const buffers = table.trainableSize;
    const buffersEnd = prepared.reductionSize - 2;
    for (let i = buffers; i < buffersEnd; i++) {
      assert.ok(Math.abs(sums[i]! - alone[i]! - rest[i]!) < 1e-5);
    }
    const { weight } = await engine.norm(sums);
    assert.equal(weight, 5);
    await engine.update({ step: 1, learningRate: 0 });
    const { parameters } = await engine.readState(false);
    const mean = table.entries.find((entry) => entry.name === "norm1.running_mean")!;
    const at = buffers;
    assert.ok(Math.abs(parameters[mean.offset]! - sums[at]! / 5) < 1e-6);
    assert.notEqual(parameters[mean.offset], 0);
  });

  it("has the gradient of its loss through the batch's statistics", async () => {
    const state = initialState(convnetSpecs, 3);
    const job = jobOf({ family: "tiny-convnet", config: tinyConvnet, specs: convnetSpecs });
    const prepared = await start(job, state);
    const batches = [rowsOf(form, 0, 4, 4)];
    const sums = await sumStep(engine, prepared, batches);
    const step = 0.003;
    for (const entry of layOutTable(convnetSpecs).entries) {
      if (entry.trainableOffset === null) continue;
      const gradient = sums.slice(entry.trainableOffset, entry.trainableOffset + entry.size);
      const norm = Math.hypot(...gradient);
      const lossAt = async (sign: number): Promise<number> => {
        const parameters = state.slice();
        for (const [i, value] of gradient.entries()) {
          parameters[entry.offset + i]! += (sign * step * value) / norm;
        }
        await engine.loadState({ parameters, step: 0 });
        return (await sumStep(engine, prepared, batches)).at(-2)!;
      };
      const slope = ((await lossAt(1)) - (await lossAt(-1))) / (2 * step);
      assert.ok(Math.abs(slope - norm) < 0.03 * norm + 3e-3, `${entry.name}: ${slope} ${norm}`);
    }
  });
});

describe("collateValues", () => {
  it("refuses a record of another width and a label that there is not", () => {
    const sample = create(SampleRecordSchema, { index: 4n, values: new Uint8Array(12), label: 5 });
    const form = { microbatchSize: 2, width: 3, labels: 3 };
    assert.throws(() => collateValues([sample], { ...form, width: 4 }), BadInput);
    assert.throws(() => collateValues([sample], form), /label: expected 0 to 2, found 5/);
  });
});
