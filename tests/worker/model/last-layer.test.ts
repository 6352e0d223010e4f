/**
 * Goal: a last layer that is computed for the first rows only has the loss and the gradients of one computed whole. Method: one BERT
 * without dropout, whose masks have the shape of what is computed, both ways, padded and packed.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import { programs, startEngine, tableOf } from "../../parity/engine-under-test.ts";
import { relativeDifference } from "../../support/engine-under-test.ts";
import { packedBatch, paddedBatch } from "../../support/packed-batch.ts";
import { smallBertConfig, smallBertParameters } from "../../support/small-bert.ts";
import { wholeVector } from "../../support/whole-vector.ts";

const form = { hidden: 48, heads: 2, inner: 33, vocabulary: 50 };
const rows = 4;
const longest = 40;
const texts = { lengths: [longest, 3, 7, longest - 3], rows, vocabulary: 50, filling: 3 };

describe("a last layer", () => {
  let engine: TfjsEngine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => engine.close());

  /** Gradients, loss and weight of the same texts. */
  async function vectorOf(whole: boolean, packed: boolean) {
    const more = { pad_token_id: 8, ringmaster_last_layer_whole: whole };
    const configJson = smallBertConfig(form, 0, more);
    const prepared = await engine.prepare({ ...programs(configJson, rows, longest), packed });
    const parameters = smallBertParameters(tableOf(configJson), { seed: 6, scale: 0.1 });
    await engine.loadState({ parameters, step: 0 });
    const batch = packed ? packedBatch(texts) : paddedBatch(texts, longest);
    const into = new Float32Array(prepared.reductionSize);
    const place = { step: 3, microbatch: 2, microbatchCount: 4 };
    const result = await engine.runPhase(0, batch, place, { gathered: {}, into });
    return wholeVector(prepared, into, result);
  }

  for (const packed of [false, true]) {
    it(`gives the same for the first rows only as whole: ${packed ? "packed" : "padded"}`, async () => {
      const whole = await vectorOf(true, packed);
      const firstRows = await vectorOf(false, packed);
      const distance = relativeDifference(whole, firstRows);
      assert.ok(distance < 2e-5, `${distance} apart`);
      assert.ok(whole.some((value) => Math.abs(value) > 1e-3));
      assert.notDeepEqual(
        whole,
        firstRows,
        "the sums have another order: it was computed another way",
      );
    });
  }
});
