/**
 * Goal: training on sequences that lie one behind the other has the gradients of padded sequences, and its kernels those of the composed
 * blocks that they take the place of, dropout included. Method: one BERT, padded and packed, eager and recorded.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import type { Batch } from "../../../worker/model/model.ts";
import { programs, startEngine, tableOf } from "../../parity/engine-under-test.ts";
import { deviceUnderTest, relativeDifference } from "../../support/engine-under-test.ts";
import { smallBertConfig, smallBertParameters } from "../../support/small-bert.ts";
import { packedBatch, paddedBatch } from "../../support/packed-batch.ts";
import { wholeVector } from "../../support/whole-vector.ts";

const rows = 4;
const forms = [
  { name: "odd sizes", hidden: 20, heads: 4, inner: 37, longest: 12, vocabulary: 50 },
  {
    name: "a head wider than a register",
    hidden: 48,
    heads: 2,
    inner: 33,
    longest: 40,
    vocabulary: 50,
  },
  { name: "touched rows only", hidden: 64, heads: 2, inner: 128, longest: 70, vocabulary: 300 },
] as const;

type Form = (typeof forms)[number];

/** A word of the texts, so that it shows whether its gradient is left out. */
const padding = { pad_token_id: 8 };

function casesOf(longest: number): readonly (readonly number[])[] {
  return [
    [longest, 3, 7, longest - 3],
    [2, longest],
    [longest, longest, longest, longest],
  ];
}

describe("packed training", { skip: deviceUnderTest === "gpu" && "kernels are a CPU's" }, () => {
  let engine: TfjsEngine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => engine.close());

  /** Gradients, loss and weight of batches, one after the other with one set of programs. */
  async function vectorsOf(form: Form, dropout: number, how: object, batches: readonly Batch[]) {
    const configJson = smallBertConfig(form, dropout, padding);
    const job = { ...programs(configJson, rows, form.longest), ...how };
    const prepared = await engine.prepare(job);
    const table = tableOf(configJson);
    const parameters = smallBertParameters(table, { seed: 6, scale: 0.1 });
    await engine.loadState({ parameters, step: 0 });
    const vectors: Float32Array[] = [];
    for (const batch of batches) {
      const into = new Float32Array(prepared.reductionSize);
      const place = { step: 3, microbatch: 2, microbatchCount: 4 };
      const result = await engine.runPhase(0, batch, place, { gathered: {}, into });
      vectors.push(wholeVector(prepared, into, result));
    }
    return vectors;
  }

  for (const form of forms) {
    const { longest, vocabulary } = form;
    const cases = casesOf(longest).map((lengths, index) => ({
      lengths,
      rows,
      vocabulary,
      filling: [3, 1, 0][index] ?? 0,
    }));
    const packed = cases.map((one) => packedBatch(one));

    it(`has the gradients of padded sequences: ${form.name}`, async () => {
      const padded = cases.map((one) => paddedBatch(one, longest));
      const expected = await vectorsOf(form, 0, { eager: true }, padded);
      const found = await vectorsOf(form, 0, { packed: true }, packed);
      for (const [index, vector] of expected.entries()) {
        const distance = relativeDifference(vector, found[index]!);
        assert.ok(distance < 2e-5, `${cases[index]!.lengths.join()}: ${distance} apart`);
        assert.ok(vector.some((value) => Math.abs(value) > 1e-3));
      }
    });

    it(`has kernels that equal the composed blocks, dropout included: ${form.name}`, async () => {
      const composed = await vectorsOf(form, 0.3, { eager: true, packed: true }, packed);
      const fused = await vectorsOf(form, 0.3, { packed: true }, packed);
      const [whole] = await vectorsOf(form, 0, { packed: true }, packed);
      for (const [index, vector] of composed.entries()) {
        const distance = relativeDifference(vector, fused[index]!);
        assert.ok(distance < 2e-5, `${cases[index]!.lengths.join()}: ${distance} apart`);
      }
      assert.ok(relativeDifference(whole!, fused[0]!) > 0.05, "something is dropped");
    });
  }

  it("multiplies in bfloat16 where that is wanted, and checkpoints layers to the same bits", async () => {
    const form = forms[1];
    const packed = [packedBatch({ lengths: [9, 31, 5], rows, vocabulary: form.vocabulary })];
    const [whole] = await vectorsOf(form, 0.3, { packed: true }, packed);
    const [narrow] = await vectorsOf(form, 0.3, { packed: true, precision: "bf16" }, packed);
    const distance = relativeDifference(whole!, narrow!);
    assert.ok(distance < 0.05 && distance > 1e-4, `gradients are ${distance} apart`);
    const how = { packed: true, gradientCheckpointing: true };
    const [again] = await vectorsOf(form, 0.3, how, packed);
    assert.deepEqual(again, whole);
  });
});
