/**
 * Goal: an evaluation of sequences that lie one behind the other gives what one of padded sequences does, whatever their
 * number and lengths, by one program. Method: one BERT, eager and padded, against recorded and packed.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import * as tf from "@tensorflow/tfjs";
import type { Engine, EvaluationResult } from "../../../worker/engine/engine.ts";
import type { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import { inputOf, variableOf } from "../../../worker/model/gradients.ts";
import { anyLength } from "../../../worker/model/input-shape.ts";
import type { InputSpec, Model } from "../../../worker/model/model.ts";
import { refuseOpenBlocks } from "../../../worker/engine/program-set.ts";
import { programs, startEngine, tableOf } from "../../parity/engine-under-test.ts";
import {
  deviceUnderTest,
  engineUnderTest,
  jobOf,
  relativeDifference,
} from "../../support/engine-under-test.ts";
import { smallBertConfig, smallBertParameters } from "../../support/small-bert.ts";
import { packedBatch, paddedBatch } from "../../support/packed-batch.ts";

const vocabulary = 50;
const rows = 5;
const forms = [
  { name: "odd sizes", hidden: 20, heads: 4, inner: 37, longest: 12 },
  { name: "a head wider than a register", hidden: 48, heads: 2, inner: 33, longest: 40 },
  { name: "more rows than are held at a time", hidden: 64, heads: 2, inner: 128, longest: 80 },
] as const;

/** Lengths from a single token to the longest; all rows used, some, one. */
function casesOf(longest: number): readonly (readonly number[])[] {
  return [
    [longest, 1, 7, longest - 3, 2],
    [3, longest],
    [1],
    [longest, longest, longest, longest, longest],
  ];
}

const skip = deviceUnderTest === "gpu" && "kernels are a CPU's";

describe("packed evaluation", { skip }, () => {
  let engine: TfjsEngine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => engine.close());

  async function load(form: (typeof forms)[number], how: object): Promise<void> {
    const configJson = smallBertConfig(form, 0);
    await engine.prepare({ ...programs(configJson, rows, form.longest), training: false, ...how });
    const table = tableOf(configJson);
    const parameters = smallBertParameters(table, { seed: 5, scale: 0.2 });
    await engine.loadState({ parameters, step: 0 });
  }

  for (const form of forms) {
    it(`gives the logits and the loss of padded sequences: ${form.name}`, async () => {
      const cases = casesOf(form.longest).map((lengths, index) => ({
        lengths,
        rows,
        vocabulary,
        filling: 2 * index,
      }));
      await load(form, { eager: true });
      const expected: EvaluationResult[] = [];
      for (const one of cases) expected.push(await engine.evaluate(paddedBatch(one, form.longest)));
      for (const [precision, bound] of [
        ["fp32", 1e-5],
        ["bf16", 0.05],
      ] as const) {
        await load(form, { packed: true, precision });
        for (const [index, one] of cases.entries()) {
          const { logits, lossSum, weight, columns } = await engine.evaluate(packedBatch(one));
          const reference = expected[index]!;
          const real = one.lengths.length * columns;
          const distance = relativeDifference(
            reference.logits.slice(0, real),
            logits.slice(0, real),
          );
          assert.ok(distance < bound, `${precision}, ${one.lengths.join()}: ${distance} apart`);
          assert.equal(weight, reference.weight);
          assert.ok(Math.abs(lossSum - reference.lossSum) < bound * reference.lossSum);
          assert.ok(logits.every(Number.isFinite), "padding rows mean nothing, and are finite");
        }
      }
    });
  }

  it("refuses sequences that overlap, leave tokens out between them, or reach too far", async () => {
    const [form] = forms;
    await load(form, { packed: true });
    const good = packedBatch({ lengths: [4, 3], rows, vocabulary });
    const wrong: readonly (readonly [string, readonly number[], readonly number[], RegExp])[] = [
      ["overlap", [0, 3, 0, 0, 0], [4, 7, 0, 0, 0], /sequence 1 from 3 to 7/],
      ["left out", [0, 5, 0, 0, 0], [4, 7, 0, 0, 0], /sequence 1 from 5 to 7/],
      ["too far", [0, 4, 0, 0, 0], [4, 8, 0, 0, 0], /sequence 1 from 4 to 8 of 7/],
      ["backwards", [0, 4, 0, 0, 0], [4, 2, 0, 0, 0], /sequence 1 from 4 to 2/],
    ];
    for (const [what, starts, ends, message] of wrong) {
      const arrays = {
        ...good.arrays,
        starts: Int32Array.from(starts),
        ends: Int32Array.from(ends),
      };
      await assert.rejects(async () => engine.evaluate({ ...good, arrays }), message, what);
    }
    await assert.rejects(
      async () =>
        engine.evaluate({ ...good, arrays: { ...good.arrays, starts: new Int32Array(2) } }),
      /Cannot feed starts: expected 5 values, found 2/,
    );
  });
});

describe("a program of any length", { skip }, () => {
  const specs = [{ name: "w", shape: [3, 2], kind: "parameter", decay: true }] as const;
  const modelOf = (make: (sum: tf.Tensor2D, tokens: number) => tf.Tensor2D): Model => {
    const shapes = new Map([
      ["open", [{ name: "values", shape: [anyLength, 3], dtype: "float32" as const }]],
    ]);
    return {
      family: "open",
      tensors: specs,
      shapes: () => shapes,
      phases: () => [],
      evaluate: (context) => {
        const values = inputOf(context, "values");
        const product = tf.matMul<tf.Tensor2D>(values, variableOf(context, "w"));
        const logits = make(product, values.shape[0] ?? 0);
        return { logits, loss: tf.sum(logits), weight: tf.scalar(1) };
      },
      exampleBatch: (_key, _use, variant) => ({
        shapeKey: "open",
        arrays: { values: Float32Array.from({ length: 3 * (2 + variant) }, (_, i) => i + variant) },
        samples: 1,
        tokens: 1,
        paddedTokens: 1,
        truncated: 0,
      }),
    };
  };

  async function evaluated(model: Model, count: number): Promise<Float32Array> {
    const engine: Engine = await engineUnderTest(() => model);
    try {
      const family = "open";
      await engine.prepare(jobOf({ family, config: {}, specs, training: false }));
      await engine.loadState({ parameters: Float32Array.of(1, 2, 3, 4, 5, 6), step: 0 });
      const values = new Float32Array(3 * count).fill(1);
      const batch = { ...model.exampleBatch("open", "evaluate", 0), arrays: { values } };
      return (await engine.evaluate(batch)).logits;
    } finally {
      await engine.close();
    }
  }

  it("runs at lengths that it was not recorded with", async () => {
    const model = modelOf((product) => product);
    assert.deepEqual(
      await evaluated(model, 5),
      Float32Array.from([9, 12, 9, 12, 9, 12, 9, 12, 9, 12]),
    );
  });

  it("is refused on a device without kernels, where blocks would keep it", () => {
    const open = { name: "values", shape: [anyLength, 3], dtype: "float32" } as const;
    const sources = (...inputs: InputSpec[]) => new Map([["p", { name: "evaluate", inputs }]]);
    assert.throws(() => refuseOpenBlocks(sources(open), false), /evaluate for any length/);
    refuseOpenBlocks(sources(open), true);
    refuseOpenBlocks(sources({ ...open, shape: [4, 3] }), false);
  });

  it("is refused where it would keep the number of tokens that it was recorded with", async () => {
    const model = modelOf((product, tokens) => tf.div(product, tokens));
    await assert.rejects(
      evaluated(model, 5),
      /a constant's value differs.*packed-evaluation\.test/su,
    );
  });
});
