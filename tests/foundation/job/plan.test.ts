import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseJob } from "../../../foundation/job/parse-job.ts";
import {
  activationBytes,
  planRun,
  totalStepsOf,
  withWholeIntervals,
} from "../../../foundation/job/plan.ts";
import type { JobSettings } from "../../../foundation/job/settings.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";

function settingsOf(flags: Record<string, string>): JobSettings {
  const sources = { flags: { model: "m", "train-file": ["t"], ...flags }, env: {}, file: null };
  return parseJob(sources, { now: new Date(0), jobName: "j", checkpoint: null }).settings;
}

describe("totalStepsOf", () => {
  it("rounds up as transformers does", () => {
    assert.equal(totalStepsOf(settingsOf({ "num-train-epochs": "3" }), 100), 12);
    assert.equal(totalStepsOf(settingsOf({ "num-train-epochs": "1.5" }), 100), 6);
    assert.equal(totalStepsOf(settingsOf({ "num-train-epochs": "0.1" }), 97), 1);
    assert.equal(totalStepsOf(settingsOf({ "max-steps": "7" }), 100), 7);
  });
});

describe("withWholeIntervals", () => {
  it("turns shares of all steps into whole ones", () => {
    const settings = settingsOf({
      "eval-steps": "0.1",
      "save-steps": "0.001",
      "logging-steps": "5",
    });
    const whole = withWholeIntervals(settings, 101);
    assert.deepEqual([whole.evalSteps, whole.saveSteps, whole.loggingSteps], [11, 1, 5]);
  });
});

describe("planRun", () => {
  const specs = [
    { name: "a.weight", shape: [10, 10], kind: "parameter", decay: true },
    { name: "b.weight", shape: [50], kind: "parameter", decay: true },
    { name: "mean", shape: [8], kind: "buffer", decay: false },
  ] as const;

  it("counts steps, parameters, bytes and memory", () => {
    const plan = planRun({
      settings: settingsOf({ "warmup-ratio": "0.1" }),
      workers: 4,
      trainSize: 1000,
      table: layOutTable(specs, new Set(["b.weight"])),
      configJson: "{}",
      maxLength: 128,
      lookedUp: [],
    });
    assert.equal(plan.stepsPerEpoch, 32);
    assert.equal(plan.totalSteps, 96);
    assert.equal(plan.warmupSteps, 10);
    assert.equal(plan.microbatchesPerStep, 4);
    assert.equal(plan.parameters, 150);
    assert.equal(plan.trainedParameters, 100);
    // 100 gradients, 8 buffer sums, loss and weight: 110 values of 4 bytes and 4 exponents, of which each worker sends 2·3/4; three
    // quarters of 4 squares of 8 bytes; and to three others how many microbatches it has.
    assert.equal(plan.exchangeBytesPerStep, 660 + 6 + 24 + 3);
    assert.deepEqual(plan.memoryPerWorker, {
      weights: 158 * 4,
      optimizer: 200 * 4,
      gradients: 330 * 4,
      activations: null,
      copies: 358 * 4,
      runtime: 270e6,
    });
  });

  it("counts a share of the optimiser's state, and the weights that travel, with --zero-stage 1", () => {
    const plan = planRun({
      settings: settingsOf({ "zero-stage": "1" }),
      workers: 4,
      trainSize: 1000,
      table: layOutTable(specs, new Set(["b.weight"])),
      configJson: "{}",
      maxLength: 128,
      lookedUp: [],
    });
    // Three quarters of 100 gradients, and twice as much of each of 10 other values, of 4 bytes each, and of 4 exponents; of the only
    // piece hash and squares, and to three others 5 words by which the sums are proved.
    assert.equal(plan.exchangeBytesPerStep, 360 + 6 + 12 + 60);
    // Three quarters of 100 weights.
    assert.equal(plan.weightBytesPerStep, 300);
    assert.equal(plan.memoryPerWorker.optimizer, 200);
    assert.equal(plan.memoryPerWorker.copies, 158 * 4 + 200);
  });

  it("counts the vectors that a worker holds: its microbatches, and its sums where it is not alone", () => {
    const gradients = (workers: number, flags: Record<string, string> = {}): number =>
      planRun({
        settings: settingsOf({ "per-device-train-batch-size": "2", ...flags }),
        workers,
        trainSize: 1000,
        table: layOutTable(specs, new Set(["b.weight"])),
        configJson: "{}",
        maxLength: 128,
        lookedUp: [],
      }).memoryPerWorker.gradients / 440;
    // Sixteen microbatches.
    assert.equal(gradients(1), 16);
    assert.equal(gradients(2), 8 + 2);
    assert.equal(gradients(3), 6 + 2);
    assert.equal(gradients(2, { "gradient-wire": "float32" }), 1 + 1);
    // Two groups of eight.
    assert.equal(gradients(1, { "gradient-wire": "int8-block" }), 8 + 2);
  });

  it("counts no copies of the optimiser's state where no checkpoint is written", () => {
    const plan = planRun({
      settings: settingsOf({ "save-strategy": "no" }),
      workers: 1,
      trainSize: 1000,
      table: layOutTable(specs),
      configJson: "{}",
      maxLength: 128,
      lookedUp: [],
    });
    assert.equal(plan.memoryPerWorker.copies, 158 * 4);
  });

  it("estimates the activations of a transformer", () => {
    const config = { hidden_size: 384, num_hidden_layers: 6, intermediate_size: 1536 };
    const form = { microbatch: 8, length: 128, gradientCheckpointing: false };
    const json = JSON.stringify(config);
    // Per token and layer, eight times the features and twice the inner ones.
    const perLayer = 128 * 8 * (8 * 384 + 2 * 1536) * 4;
    assert.equal(activationBytes(json, form), 6 * perLayer);
    // One layer at a time, and the inputs of six.
    assert.equal(
      activationBytes(json, { ...form, gradientCheckpointing: true }),
      perLayer + 6 * 128 * 8 * 384 * 4,
    );
  });
});
