/**
 * Goal: on the real weights of MiniLM the recorded programs compute what PyTorch and transformers compute: logits, loss,
 * every tensor's gradient, and every tensor's change after ten steps of AdamW with clipping, decay and schedule.
 * Method: values stored by make-references.py; tensors are compared by projections (fixed-values.ts).
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ensureQuickstart } from "../../coordinator/quickstart/quickstart.ts";
import { loadModel, type LoadedModel } from "../../foundation/model-files/load-model.ts";
import { parseJsonObject } from "../../foundation/model-files/json-object.ts";
import { layOutTable, type ParameterTable } from "../../foundation/parameters/table.ts";
import { layOutReduction } from "../../worker/engine/reduction-layout.ts";
import type { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import { wholeVector } from "../support/whole-vector.ts";
import { batchOf, progress, programs, startEngine, withoutDropout } from "./engine-under-test.ts";
import { fixedWeights, project, relativeDistance } from "./fixed-values.ts";
import { references } from "./references.ts";

const reference = references.minilm;
const rows = reference.labels.length;
const length = reference.input_ids[0]!.length;
/** Rows of a training step, as ten_steps of make-references.py has them. */
const stepRows = 4;

describe("MiniLM equals transformers'", () => {
  let engine: TfjsEngine;
  let model: LoadedModel;
  let table: ParameterTable;
  let start: Float32Array;
  let configJson: string;

  before(async () => {
    const signal = new AbortController().signal;
    const { modelFolder } = await ensureQuickstart({ env: process.env, progress, signal });
    const labels = ["0", "1"];
    const problemType = "single_label_classification";
    model = await loadModel(modelFolder, { labels, problemType, seed: 0, requireHead: false });
    configJson = withoutDropout(parseJsonObject(model.configJson, "config.json"));
    table = layOutTable(model.specs);
    start = withFixedClassifier(model.state, table);
    engine = await startEngine();
  });
  after(async () => engine.close());

  it("in logits within 1e-4 and loss within 1e-5, and in every gradient within 1e-3", async () => {
    const prepared = await engine.prepare(programs(configJson, rows, length));
    await engine.loadState({ parameters: start, step: 0 });
    const batch = batchOf(reference, Int32Array.from(reference.labels));

    const { logits, lossSum } = await engine.evaluate(batch);
    for (const [place, logit] of reference.logits.entries()) {
      assert.ok(Math.abs(logits[place]! - logit) < 1e-4, `logit ${place}`);
    }
    assert.ok(Math.abs(lossSum / rows - reference.loss) < 1e-5);

    const { size } = layOutReduction(table);
    const into = new Float32Array(size);
    const place = { step: 1, microbatch: 0, microbatchCount: 1 };
    const outputs = await engine.runPhase(0, batch, place, { gathered: {}, into });
    assert.equal(prepared.rowParts.length, 1);
    const reduced = wholeVector(prepared, into, outputs);
    assert.ok(Math.abs(reduced[size - 2]! / rows - reference.loss) < 1e-5);
    const gradient = reduced.subarray(0, table.trainableSize).map((sum) => sum / rows);
    compare(gradient, reference.gradients, 1e-7);
  });

  it("in every tensor's change after ten steps of AdamW within 1e-3", async () => {
    const { training } = reference;
    const stepCount = training.learning_rates.length;
    const prepared = await engine.prepare(programs(configJson, stepRows, length));
    await engine.loadState({ parameters: start, step: 0 });
    const into = new Float32Array(layOutReduction(table).size);
    for (let step = 1; step <= stepCount; step += 1) {
      const chosen = Array.from({ length: stepRows }, (_, row) => (4 * (step - 1) + row) % rows);
      const labels = Int32Array.from(chosen, (row) => 1 - reference.labels[row]!);
      const batch = batchOf(reference, labels, chosen);
      const place = { step, microbatch: 0, microbatchCount: 1 };
      const outputs = await engine.runPhase(0, batch, place, { gathered: {}, into });
      const reduced = wholeVector(prepared, into, outputs);
      const { gradNorm, lossSum, weight } = await engine.norm(reduced);
      assert.ok(Math.abs(lossSum / weight - training.losses[step - 1]!) < 1e-5, `loss ${step}`);
      assert.ok(Math.abs(gradNorm / training.norms[step - 1]! - 1) < 1e-4, `norm ${step}`);
      await engine.update({ step, learningRate: training.learning_rates[step - 1]! });
    }
    const { parameters } = await engine.readState(false);
    const change = Float64Array.from(parameters, (value, place) => value - start[place]!);
    const rate = Math.max(...training.learning_rates);
    compare(change, training.changes, 10 * rate);
  });

  function compare(
    vector: Float32Array | Float64Array,
    expected: Readonly<Record<string, readonly number[]>>,
    keyBiasLimit: number,
  ): void {
    for (const { name, offset, size } of table.entries) {
      const values = vector.subarray(offset, offset + size);
      if (name.endsWith("key.bias")) {
        const largest = Math.max(...Array.from(values, Math.abs));
        assert.ok(largest < keyBiasLimit, `${name} has ${largest}`);
        continue;
      }
      const projections = expected[name]!;
      const distance = relativeDistance(project(values, projections.length - 1), projections);
      assert.ok(distance < 1e-3, `${name} is ${distance} away, relative to its norm`);
    }
  }
});

/** As fixed_classifier of make-references.py. */
function withFixedClassifier(state: Float32Array, table: ParameterTable): Float32Array {
  const result = state.slice();
  for (const { name, offset, size } of table.entries) {
    if (name === "classifier.weight") result.set(fixedWeights(size, 1, 0.02), offset);
    if (name === "classifier.bias") result.fill(0, offset, offset + size);
  }
  return result;
}
