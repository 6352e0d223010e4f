/**
 * Goal: in half precision the loss scale saves gradients that 16-bit floats would lose, what is too large for them is seen, and
 * a step that is skipped leaves no trace. Method: a real engine and a small BERT, beside the same in float32.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import type { Precision } from "../../../foundation/precision.ts";
import type { Engine } from "../../../worker/engine/engine.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { createModel } from "../../../worker/model/families.ts";
import type { Batch } from "../../../worker/model/model.ts";
import { engineUnderTest, jobOf, relativeDifference } from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

const length = 16;
const at = { step: 1, microbatch: 0, microbatchCount: 1 };

describe("half precision", () => {
  let engine: Engine;
  before(async () => {
    engine = await engineUnderTest((options) => createModel(options.family, options));
  });
  after(async () => engine.close());

  /** An engine at its first state, and a batch whose samples count `weight` each. */
  async function prepared(precision: Precision, weight: number) {
    const config = JSON.parse(tinyConfig({ num_labels: 2, hidden_size: 32 })) as object;
    const specs = bertFamily.tensors({ ...config });
    const form = { bucketLengths: [length], maxLength: length, precision };
    const job = jobOf({ family: "bert", config, specs, ...form });
    const { reductionSize } = await engine.prepare(job);
    const { entries } = parseTable(job.tableJson);
    await engine.loadState({ parameters: initialState(entries, 11), step: 0 });
    const model = await createModel(job.family, job);
    const example = model.exampleBatch(String(length), "train", 0);
    const weights = new Float32Array(example.samples).fill(weight);
    const batch: Batch = { ...example, arrays: { ...example.arrays, weights } };
    return { batch, reductionSize };
  }

  async function gradientOf(precision: Precision, weight: number, lossScale?: number) {
    const { batch, reductionSize } = await prepared(precision, weight);
    const into = allocateShared(reductionSize);
    const feeds = { gathered: {}, into, ...(lossScale === undefined ? {} : { lossScale }) };
    await engine.runPhase(0, batch, at, feeds);
    return into;
  }

  it("keeps gradients with a loss scale that it loses without", async () => {
    const weight = 2 ** -22;
    const whole = await gradientOf("fp32", weight);
    const lost = relativeDifference(await gradientOf("fp16", weight), whole);
    assert.ok(lost > 0.1, `without a scale gradients are only ${lost} apart`);
    const kept = relativeDifference(await gradientOf("fp16", weight, 2 ** 16), whole);
    assert.ok(kept < 0.005, `with a scale gradients are ${kept} apart`);
  });

  it("gives the same bits for any scale that 16-bit floats have room for", async () => {
    const one = await gradientOf("fp16", 2 ** -6, 2 ** 12);
    assert.deepEqual(await gradientOf("fp16", 2 ** -10, 2 ** 16).then(scaledBy(2 ** 4)), one);
  });

  it("sees a gradient that is too large: the norm is not finite, loss and weight are", async () => {
    const into = await gradientOf("fp16", 1, 2 ** 40);
    const { gradNorm, lossSum, weight } = await engine.norm(into);
    assert.ok(!Number.isFinite(gradNorm), `the norm is ${gradNorm}`);
    const whole = await gradientOf("fp32", 1);
    assert.ok(Math.abs(lossSum - whole.at(-2)!) < 0.01, `the loss is ${lossSum}`);
    assert.equal(weight, whole.at(-1));
  });

  it("skips a step without a trace, and AdamW counts the others", async () => {
    const bits = async (steps: (good: Float32Array) => Promise<void>) => {
      const { batch, reductionSize } = await prepared("fp16", 1);
      const into = allocateShared(reductionSize);
      await engine.runPhase(0, batch, at, { gathered: {}, into, lossScale: 2 ** 10 });
      await steps(into);
      const { parameters, firstMoment, secondMoment, step } = await engine.readState(true);
      const state = [parameters, firstMoment, secondMoment].map((part) => part?.slice());
      return { state, step };
    };
    const straight = await bits(async (good) => {
      await engine.norm(good);
      await engine.update({ step: 1, learningRate: 0.01 });
    });
    const skipping = await bits(async (good) => {
      const broken = good.slice().fill(Number.NaN, 3, 5);
      for (const step of [1, 2]) {
        await engine.norm(broken);
        await engine.skip(step);
        assert.equal((await engine.readState(false)).step, step);
      }
      await engine.norm(good);
      await engine.update({ step: 3, learningRate: 0.01, skippedSteps: 2 });
    });
    assert.deepEqual(skipping.state, straight.state);
    assert.deepEqual([straight.step, skipping.step], [1, 3]);
    await assert.rejects(async () => {
      await engine.skip(4);
      await engine.update({ step: 4, learningRate: 0.01 });
    }, /before the norm is known/u);
  });
});

function scaledBy(factor: number): (vector: Float32Array) => Float32Array {
  return (vector) => vector.map((value) => value * factor);
}
