/** What a recording refuses, and how it tells where: each model here does one thing that a graph cannot hold. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as tf from "@tensorflow/tfjs";
import type { TensorSpec } from "../../../foundation/parameters/table.ts";
import type { Engine } from "../../../worker/engine/engine.ts";
import { exampleValues } from "../../../worker/model/collate-values.ts";
import { gradientsOf, inputOf, variableOf } from "../../../worker/model/gradients.ts";
import type { Model, PhaseContext } from "../../../worker/model/model.ts";
import { engineUnderTest, jobOf } from "../../support/engine-under-test.ts";

const specs: readonly TensorSpec[] = [
  { name: "first.weight", shape: [3, 2], kind: "parameter", decay: true },
  { name: "second.weight", shape: [2, 1], kind: "parameter", decay: true },
];

/** A model of two layers; `spoil` does something between them. */
function modelThat(spoil: (hidden: tf.Tensor, context: PhaseContext) => tf.Tensor): Model {
  const outputs = (context: PhaseContext): tf.Tensor2D => {
    const values = inputOf(context, "values");
    const hidden = tf.matMul(values, variableOf(context, "first.weight"));
    return tf.matMul(spoil(hidden, context), variableOf(context, "second.weight"));
  };
  const shapes = new Map([
    ["values", [{ name: "values", shape: [4, 3], dtype: "float32" as const }]],
  ]);
  return {
    family: "spoilt",
    tensors: specs,
    shapes: () => shapes,
    phases: () => [
      {
        name: "gradients",
        collective: "sum",
        gathered: [],
        run: (context) => ({
          ...gradientsOf(context, () => tf.sum(outputs(context))),
          weight: tf.scalar(4),
        }),
      },
    ],
    evaluate: (context) => {
      const logits = outputs(context);
      return { logits, loss: tf.sum(logits), weight: tf.scalar(4) };
    },
    exampleBatch: (_key, _use, variant) =>
      exampleValues({ microbatchSize: 4, width: 3, labels: 0 }, variant),
  };
}

/** Numbers that differ from call to call, as a clock or a random generator gives them. */
let calls = 0;
function nextNumber(): number {
  calls += 1;
  return calls;
}

describe("recording", () => {
  let spoil: Parameters<typeof modelThat>[0];
  let engine: Engine;
  before(async () => {
    engine = await engineUnderTest(() => modelThat((hidden, context) => spoil(hidden, context)));
  });
  after(() => engine.close());
  const record = (how: typeof spoil) => {
    spoil = how;
    return engine.prepare(jobOf({ family: "spoilt", config: {}, specs }));
  };

  it("takes a model that only computes", async () => {
    const { reductionSize } = await record((hidden) => tf.relu(hidden));
    assert.equal(reductionSize, 6 + 2 + 2);
  });

  it("refuses a value read with dataSync, and tells where it was frozen", async () => {
    await assert.rejects(
      record((hidden) => tf.mul(hidden, tf.scalar(hidden.dataSync()[0]!))),
      /a constant's value differs between two runs.*made at .*recorder\.test\.ts/,
    );
  });

  it("refuses a number that the host makes up, and tells where", async () => {
    await assert.rejects(
      record((hidden) => tf.add(hidden, nextNumber())),
      /a constant's value differs.*recorder\.test\.ts/,
    );
  });

  it("refuses a course that depends on values", async () => {
    await assert.rejects(
      record((hidden) => (hidden.dataSync()[0]! > 0 ? tf.relu(hidden) : tf.tanh(hidden))),
      /what is computed \((Relu|Tanh), then (Relu|Tanh)\) differs/,
    );
  });

  it("refuses tfjs's random numbers, which are the host's", async () => {
    await assert.rejects(
      record((hidden) => tf.mul(hidden, tf.randomUniform(hidden.shape))),
      /a constant's value differs/,
    );
  });

  it("names a stateful op and the nearest layer", async () => {
    await assert.rejects(
      record((hidden) => {
        const drawn = tf.multinomial(hidden as tf.Tensor2D, 2);
        return tf.cast(drawn, "float32");
      }),
      /Cannot record Multinomial near first\.weight: it draws random numbers/,
    );
  });

  it("names an op that TensorFlow refuses, and the nearest layer", async () => {
    await assert.rejects(
      record((hidden) => tf.gatherND(hidden, tf.tensor2d([[7]], [1, 1], "int32"))),
      /Cannot record GatherNd near first\.weight: .*indices.*at .*recorder\.test\.ts/s,
    );
  });

  it("refuses a tensor that was made before", async () => {
    const outside = tf.tensor1d([1, 2]).add(1);
    await assert.rejects(
      record((hidden) => tf.add(hidden, outside)),
      /Cannot record Add near first\.weight: it uses a tensor made outside of the program; at .*recorder\.test/,
    );
    outside.dispose();
  });

  it("refuses a variable that is assigned", async () => {
    await assert.rejects(
      record((hidden, context) => {
        const variable = variableOf(context, "second.weight");
        variable.assign(tf.ones([2, 1]));
        return hidden;
      }),
      /assigns second\.weight/,
    );
  });

  it("refuses a trainable tensor that the loss does not depend on", async () => {
    await assert.rejects(
      record(() => tf.ones([4, 2])),
      /Cannot train first\.weight/,
    );
  });
});
