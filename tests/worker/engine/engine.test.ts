/**
 * The engine's promises: recorded and eager programs agree, nothing changes before the update, the update is PyTorch's
 * AdamW, frozen tensors keep their bits, and programs can be replaced without changing any.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import {
  parseTinyConvnetConfig,
  tinyConvnetTensors,
} from "../../../foundation/families/tiny-convnet.ts";
import { parseTwoTowerConfig, twoTowerTensors } from "../../../foundation/families/two-tower.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { layOutTable, parseTable } from "../../../foundation/parameters/table.ts";
import type {
  Engine,
  EngineState,
  PreparedPrograms,
  PrepareOptions,
} from "../../../worker/engine/engine.ts";
import { startBackend } from "../../../worker/engine/tensorflow-backend.ts";
import { createModel } from "../../../worker/model/families.ts";
import type { Batch } from "../../../worker/model/model.ts";
import {
  bindingUnderTest,
  engineUnderTest,
  jobOf,
  relativeDifference,
  sumStep,
} from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";
import { tinyConvnet } from "../../support/tiny-convnet.ts";

const bertConfig: object = JSON.parse(tinyConfig({ num_labels: 2 })) as object;
const towerConfig = {
  model_type: "two-tower",
  left_size: 3,
  right_size: 5,
  hidden_size: 6,
  embedding_size: 4,
  hidden_dropout_prob: 0.25,
};
const bert = {
  family: "bert",
  config: bertConfig,
  specs: bertFamily.tensors({ ...bertConfig }),
  bucketLengths: [8, 16],
  maxLength: 16,
};
const convnet = {
  family: "tiny-convnet",
  config: tinyConvnet,
  specs: tinyConvnetTensors(parseTinyConvnetConfig(tinyConvnet)),
};
const towers = {
  family: "two-tower",
  config: towerConfig,
  specs: twoTowerTensors(parseTwoTowerConfig(towerConfig)),
};

/** First values: LayerNorm's scales are drawn like all weights, which is good for a test. */
function stateOf(job: PrepareOptions): Float32Array {
  return initialState(parseTable(job.tableJson).entries, 11);
}

async function batchesOf(job: PrepareOptions, use: "train" | "evaluate"): Promise<Batch[]> {
  const model = await createModel(job.family, job);
  return [...model.shapes(use).keys()]
    .flatMap((key) => [model.exampleBatch(key, use, 0), model.exampleBatch(key, use, 1)])
    .slice(0, job.microbatchesPerStep);
}

let engine: Engine;
let tensorCount: () => number;
before(async () => {
  const bindingFile = await bindingUnderTest();
  const { recorder } = startBackend(bindingFile);
  tensorCount = () => recorder.real.getNumOfTensors();
  engine = await engineUnderTest((options) => createModel(options.family, options));
});
after(() => engine.close());

async function start(job: PrepareOptions, state?: EngineState): Promise<PreparedPrograms> {
  const prepared = await engine.prepare(job);
  await engine.loadState(state ?? { parameters: stateOf(job), step: 0 });
  return prepared;
}

/** Computes and commits a step; returns the vector that was reduced. */
async function trainStep(
  job: PrepareOptions,
  prepared: PreparedPrograms,
  step: number,
): Promise<Float32Array> {
  const sums = await sumStep(engine, prepared, await batchesOf(job, "train"), step);
  await engine.norm(sums);
  await engine.update({ step, learningRate: 0.01 });
  return sums;
}

async function readState(): Promise<Required<Omit<EngineState, "share" | "files">>> {
  const { parameters, firstMoment, secondMoment, step } = await engine.readState(true);
  return {
    parameters: parameters.slice(),
    firstMoment: firstMoment!.slice(),
    secondMoment: secondMoment!.slice(),
    step,
  };
}

describe("recorded and eager programs", () => {
  for (const form of [bert, convnet, towers]) {
    it(`agree on ${form.family}: gradients, evaluation, updates`, async () => {
      const job = jobOf({ ...form, microbatchesPerStep: form === bert ? 4 : 2 });
      const results: { sums: Float32Array; logits: Float32Array; state: EngineState }[] = [];
      for (const eager of [false, true]) {
        const prepared = await start({ ...job, eager });
        const sums = await trainStep(job, prepared, 1);
        await trainStep(job, prepared, 2);
        const [batch] = await batchesOf(job, "evaluate");
        const { logits } = await engine.evaluate(batch!);
        results.push({ sums, logits, state: await readState() });
      }
      const [recorded, eager] = results;
      const difference = relativeDifference(recorded!.sums, eager!.sums);
      assert.ok(difference < 1e-5, `gradients differ by ${difference}`);
      assert.ok(relativeDifference(recorded!.logits, eager!.logits) < 1e-3);
      const { parameters } = recorded!.state;
      assert.ok(relativeDifference(parameters, eager!.state.parameters) < 1e-4);
    });
  }
});

describe("update", () => {
  it("is the only place where anything changes", async () => {
    const job = jobOf(convnet);
    const prepared = await start(job);
    await trainStep(job, prepared, 1);
    const before = await readState();
    const sums = await sumStep(engine, prepared, await batchesOf(job, "train"), 2);
    await engine.norm(sums);
    await engine.evaluate((await batchesOf(job, "evaluate"))[0]!);
    assert.deepEqual(await readState(), before);
    await engine.update({ step: 2, learningRate: 0.01 });
    assert.notDeepEqual(await readState(), before);
  });

  it("computes AdamW with clipping as PyTorch does", async () => {
    // The formulas of torch.optim.AdamW and clip_grad_norm_, in double precision.
    const optimizer = {
      beta1: 0.8,
      beta2: 0.99,
      epsilon: 1e-3,
      weightDecay: 0.1,
      maxGradNorm: 0.05,
    };
    const job = jobOf({ ...convnet, optimizer });
    const table = parseTable(job.tableJson);
    const prepared = await start(job);
    const expected = Float64Array.from(stateOf(job));
    const first = new Float64Array(table.trainableSize);
    const second = new Float64Array(table.trainableSize);
    const rate = 0.02;
    for (let step = 1; step <= 5; step++) {
      const sums = await sumStep(engine, prepared, await batchesOf(job, "train"), step);
      const { gradNorm, weight } = await engine.norm(sums);
      await engine.update({ step, learningRate: rate });
      const gradient = Float64Array.from(sums.subarray(0, table.trainableSize), (v) => v / weight);
      assert.ok(Math.abs(gradNorm / Math.hypot(...gradient) - 1) < 1e-5);
      const clip = Math.min(1, optimizer.maxGradNorm / (Math.hypot(...gradient) + 1e-6));
      assert.ok(clip < 1, "the test must clip");
      for (const { trainableOffset, offset, size, decay } of table.entries) {
        if (trainableOffset === null) continue;
        for (let i = 0; i < size; i++) {
          const at = trainableOffset + i;
          const g = gradient[at]! * clip;
          expected[offset + i]! *= decay ? 1 - rate * optimizer.weightDecay : 1;
          first[at] = optimizer.beta1 * first[at]! + (1 - optimizer.beta1) * g;
          second[at] = optimizer.beta2 * second[at]! + (1 - optimizer.beta2) * g * g;
          const denominator =
            Math.sqrt(second[at]) / Math.sqrt(1 - optimizer.beta2 ** step) + optimizer.epsilon;
          expected[offset + i]! -=
            (rate / (1 - optimizer.beta1 ** step)) * (first[at] / denominator);
        }
      }
      // Only float32's rounding may differ, and must not build up: the next step starts from the engine's weights.
      const { parameters } = await readState();
      for (const entry of table.entries) {
        if (entry.kind === "buffer") continue;
        const range = [entry.offset, entry.offset + entry.size] as const;
        const change = parameters
          .slice(...range)
          .map((v, i) => v - stateOf(job)[entry.offset + i]!);
        const wanted = Float32Array.from(
          expected.slice(...range).map((v, i) => v - stateOf(job)[entry.offset + i]!),
        );
        const difference = relativeDifference(change, wanted);
        assert.ok(difference < 1e-4, `${entry.name} at step ${step}: ${difference}`);
      }
    }
  });

  it("leaves frozen tensors' bits alone, and has no moments for them", async () => {
    const frozen = new Set(["conv1.weight", "head.bias"]);
    const job = jobOf({ ...convnet, frozen });
    const prepared = await start(job);
    const table = parseTable(job.tableJson);
    const buffers = 4;
    assert.equal(prepared.reductionParts.length, 8 - frozen.size + buffers + 2);
    await trainStep(job, prepared, 1);
    const { parameters, firstMoment } = await readState();
    assert.equal(firstMoment.length, table.trainableSize);
    const initial = stateOf(job);
    for (const { name, offset, size, kind } of table.entries) {
      const [now, then] = [parameters, initial].map((v) => v.slice(offset, offset + size));
      if (frozen.has(name)) assert.deepEqual(now, then, name);
      else if (kind === "parameter") assert.notDeepEqual(now, then, name);
    }
  });

  it("gives the same bits in every run", async () => {
    const job = jobOf({ ...bert, microbatchesPerStep: 4 });
    const states: EngineState[] = [];
    for (const _ of [0, 1]) {
      const prepared = await start(job);
      await trainStep(job, prepared, 1);
      states.push(await readState());
    }
    assert.deepEqual(states[0], states[1]);
  });
});

describe("replacePrograms", () => {
  it("changes no bit of the state, and moments follow what goes on training", async () => {
    const job = jobOf({ ...bert, microbatchesPerStep: 4 });
    const prepared = await start(job);
    await trainStep(job, prepared, 1);
    const before = await readState();
    const name = bert.specs[0]!.name;
    const other = jobOf({
      ...bert,
      microbatchesPerStep: 4,
      bucketLengths: [4, 16],
      frozen: new Set([name]),
    });
    const replaced = await engine.replacePrograms(other);
    assert.notEqual(replaced.tableVersion, prepared.tableVersion);
    const after = await readState();
    assert.deepEqual(after.parameters, before.parameters);
    assert.equal(after.step, 1);
    const [from, to] = [parseTable(job.tableJson), parseTable(other.tableJson)];
    for (const { name: kept, trainableOffset, size } of to.entries) {
      if (trainableOffset === null) continue;
      const old = from.entries.find((entry) => entry.name === kept)!.trainableOffset!;
      assert.deepEqual(
        after.secondMoment.slice(trainableOffset, trainableOffset + size),
        before.secondMoment.slice(old, old + size),
        kept,
      );
    }
    await trainStep(other, replaced, 2);
    assert.equal((await engine.replacePrograms(job)).tableVersion, prepared.tableVersion);
    const { size } = layOutTable(bert.specs).entries[0]!;
    const back = await readState();
    assert.deepEqual(back.parameters.slice(0, size), before.parameters.slice(0, size));
    assert.notDeepEqual(back.parameters, before.parameters);
  });
});

describe("200 steps", () => {
  it("leave no tensor behind", async () => {
    const job = jobOf({ ...towers, microbatchesPerStep: 2 });
    const prepared = await start(job);
    for (let step = 1; step <= 5; step++) await trainStep(job, prepared, step);
    const tensors = tensorCount();
    const resident = process.memoryUsage.rss();
    for (let step = 6; step <= 205; step++) await trainStep(job, prepared, step);
    assert.equal(tensorCount(), tensors);
    const grownMiB = (process.memoryUsage.rss() - resident) / 2 ** 20;
    assert.ok(grownMiB < 40, `resident memory grew by ${grownMiB} MiB`);
  });

  it("leave no tensor behind when run eagerly", async () => {
    const job = jobOf({ ...convnet, eager: true });
    const prepared = await start(job);
    await trainStep(job, prepared, 1);
    const tensors = tensorCount();
    for (let step = 2; step <= 20; step++) await trainStep(job, prepared, step);
    assert.equal(tensorCount(), tensors);
  });
});
