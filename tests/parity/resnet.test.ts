/**
 * Goal: ResNet-18's logits, loss, running averages and the gradient of every tensor are PyTorch's. Method: weights and images
 * that both sides make, stored values (make-resnet-references.py), eager (composed) and recorded (kernels).
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import {
  cifarResnetTensors,
  parseCifarResnetConfig,
} from "../../foundation/families/cifar-resnet.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";
import type { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import type { Batch } from "../../worker/model/model.ts";
import { jobOf } from "../support/engine-under-test.ts";
import { startEngine } from "./engine-under-test.ts";
import { fixedWeights, project, relativeDistance } from "./fixed-values.ts";

const projections = z.record(z.string(), z.array(z.number()));
const references = z
  .object({
    rows: z.number(),
    image_size: z.number(),
    image_seed: z.number(),
    labels: z.array(z.number()),
    logits: z.array(z.number()),
    loss: z.number(),
    gradients: projections,
    buffers: projections,
  })
  .parse(JSON.parse(readFileSync(new URL("resnet-references.json", import.meta.url), "utf8")));

const config = {
  model_type: "cifar-resnet",
  image_size: references.image_size,
  hidden_sizes: [64, 128, 256, 512],
  depths: [2, 2, 2, 2],
  num_labels: 10,
};
const specs = cifarResnetTensors(parseCifarResnetConfig(config));
const table = layOutTable(specs);
const { rows } = references;

/** One row more than there are images, which must not count. */
function batch(): Batch {
  const width = references.image_size ** 2 * 3;
  const values = new Float32Array((rows + 1) * width).fill(3);
  values.set(fixedWeights(rows * width, references.image_seed, 0.9));
  return {
    shapeKey: "values",
    arrays: {
      values,
      weights: Float32Array.from({ length: rows + 1 }, (_, row) => (row < rows ? 1 : 0)),
      labels: Int32Array.from([...references.labels, 0]),
    },
    samples: rows,
    tokens: rows,
    paddedTokens: rows + 1,
    truncated: 0,
  };
}

/** As `fill` of make-resnet-references.py. */
function fixedState(): Float32Array {
  const state = new Float32Array(table.stateSize);
  // Torch keeps a layer's buffers beside its parameters, as the model declares them.
  for (const [place, { name, shape }] of specs.entries()) {
    const { offset, size } = table.entries.find((entry) => entry.name === name)!;
    const [height = 0, width = 0, inputs = 0] = shape;
    const isFilter = shape.length === 4;
    const deviation = isFilter ? Math.sqrt(2 / (height * width * inputs)) / 1.2 : 0.1;
    const values = fixedWeights(size, 500 + place, deviation);
    const isScale = shape.length === 1 && /(weight|running_var)$/.test(name);
    state.set(isScale ? values.map((value) => value + 1) : values, offset);
  }
  return state;
}

describe("ResNet-18 equals PyTorch's", () => {
  let engine: TfjsEngine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => engine.close());

  for (const eager of [false, true]) {
    it(eager ? "eager" : "recorded", async () => {
      const sizes = { microbatchSize: rows + 1, evalMicrobatchSize: rows + 1 };
      const job = jobOf({ family: "cifar-resnet", config, specs, ...sizes });
      const prepared = await engine.prepare({ ...job, eager, microbatchesPerStep: 1 });
      await engine.loadState({ parameters: fixedState(), step: 0 });

      const { logits, lossSum, weight } = await engine.evaluate(batch());
      assert.equal(weight, rows);
      assert.ok(Number.isFinite(lossSum));
      const given = logits.subarray(0, references.logits.length);
      const apart = Math.hypot(...references.logits.map((logit, i) => logit - given[i]!));
      assert.ok(apart < 1e-4 * Math.hypot(...references.logits), `logits are ${apart} apart`);

      const into = new Float32Array(prepared.reductionSize);
      const place = { step: 1, microbatch: 0, microbatchCount: 1 };
      await engine.runPhase(0, batch(), place, { gathered: {}, into });
      const found = (from: number, size: number, expected: readonly number[]) =>
        project(
          into.slice(from, from + size).map((sum) => sum / rows),
          expected.length - 1,
        );
      const loss = into[prepared.reductionSize - 2]! / rows;
      assert.ok(Math.abs(loss - references.loss) < 1e-5 * references.loss, `loss ${loss}`);
      let buffers = table.trainableSize;
      for (const { name, size, trainableOffset } of table.entries) {
        const isBuffer = trainableOffset === null;
        const expected = (isBuffer ? references.buffers : references.gradients)[name]!;
        const from = trainableOffset ?? buffers;
        if (isBuffer) buffers += size;
        const distance = relativeDistance(found(from, size, expected), expected);
        assert.ok(distance < 1e-3, `${name} is ${distance} away, relative to its norm`);
      }
      assert.equal(buffers, prepared.reductionSize - 2);
    });
  }
});
