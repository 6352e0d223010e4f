/** The engine in its thread does what it does in this one, over shared memory; its end and its errors cross over. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { parseTwoTowerConfig, twoTowerTensors } from "../../../foundation/families/two-tower.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { startEngineThread } from "../../../worker/engine/engine-thread.ts";
import type { Engine } from "../../../worker/engine/engine.ts";
import { exampleValues } from "../../../worker/model/collate-values.ts";
import { bindingUnderTest, jobOf, sumStep } from "../../support/engine-under-test.ts";

const config = {
  model_type: "two-tower",
  left_size: 3,
  right_size: 2,
  hidden_size: 4,
  embedding_size: 4,
};
const specs = twoTowerTensors(parseTwoTowerConfig(config));
const job = jobOf({ family: "two-tower", config, specs });
const state = initialState(specs, 5);
const batches = [0, 1].map((variant) =>
  exampleValues({ microbatchSize: 4, width: 5, labels: 0 }, variant === 0 ? 0 : 1),
);

describe("startEngineThread", () => {
  let engine: Engine;
  before(async () => {
    engine = await startEngineThread({
      bindingFile: await bindingUnderTest(),
      device: "cpu",
    });
  });
  after(() => engine.close());

  it("carries out whole steps and gives the same bits a second time", async () => {
    const prepared = await engine.prepare(job);
    const sums = async (): Promise<Float32Array> => {
      await engine.loadState({ parameters: state, step: 0 });
      return await sumStep(engine, prepared, batches);
    };
    const first = await sums();
    assert.deepEqual(await sums(), first);
    const { gradNorm, weight } = await engine.norm(first);
    assert.ok(gradNorm > 0);
    assert.equal(weight, 7);
    await engine.update({ step: 1, learningRate: 0.01 });
    const { parameters, step } = await engine.readState(true);
    assert.equal(step, 1);
    assert.ok(parameters.buffer instanceof SharedArrayBuffer);
    assert.ok(parameters.some((value, i) => value !== state[i]));
  });

  it("refuses memory that the other thread cannot write to", async () => {
    const into = new Float32Array(1);
    const at = { step: 1, microbatch: 0, microbatchCount: 1 };
    await assert.rejects(engine.runPhase(1, batches[0]!, at, { gathered: {}, into }), TypeError);
  });

  it("brings errors across, the user's as BadInput", async () => {
    const wrong = { ...job, configJson: JSON.stringify({ ...config, hidden_size: -1 }) };
    await assert.rejects(engine.prepare(wrong), {
      name: "BadInput",
      message: /config\.json, column hidden_size/,
    });
  });

  it("allows one engine in a process", async () => {
    await assert.rejects(startEngineThread({ bindingFile: "", device: "cpu" }), /second engine/);
  });
});

describe("an engine's thread that cannot start", () => {
  it("says why", async () => {
    const missing = { device: "cpu" as const, bindingFile: "/nowhere/tfjs_binding.node" };
    await assert.rejects(startEngineThread(missing), /nowhere/);
  });

  it("is refused a GPU where TensorFlow finds none: it would compute on the CPU", async () => {
    const bindingFile = await bindingUnderTest();
    await assert.rejects(startEngineThread({ device: "gpu", bindingFile }), {
      name: "BadInput",
      message: /--device: expected a GPU that TensorFlow can use/u,
    });
  });
});
