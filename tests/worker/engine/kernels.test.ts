/**
 * Goal: kernels of our own compute what the composed blocks that they take the place of do, dropout included. Method: one
 * BERT, eager (composed) and recorded (kernels), at sizes that fill no vector register and at ones that fill several.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import { batchOf, programs, startEngine, tableOf } from "../../parity/engine-under-test.ts";
import { relativeDifference } from "../../support/engine-under-test.ts";
import { smallBertConfig, smallBertParameters } from "../../support/small-bert.ts";
import { wholeVector } from "../../support/whole-vector.ts";

const forms = [
  { name: "odd sizes", rows: 3, length: 7, hidden: 20, heads: 4, inner: 37 },
  { name: "a head wider than a register", rows: 2, length: 21, hidden: 48, heads: 2, inner: 33 },
  {
    name: "more rows than are held at a time",
    rows: 2,
    length: 75,
    hidden: 64,
    heads: 2,
    inner: 128,
  },
] as const;

function exampleOf({ rows, length }: (typeof forms)[number]) {
  const table = <T>(make: (row: number, place: number) => T): T[][] =>
    Array.from({ length: rows }, (_, row) =>
      Array.from({ length }, (__, place) => make(row, place)),
    );
  const tokens = {
    input_ids: table((row, place) => 1 + ((row * 31 + place * 7) % 49)),
    attention_mask: table((row, place) => (place < length - row ? 1 : 0)),
    token_type_ids: table((_, place) => (place * 2 < length ? 0 : 1)),
  };
  return batchOf(
    tokens,
    Int32Array.from({ length: rows }, (_, row) => row % 2),
  );
}

describe("kernels equal the composed blocks", () => {
  let engine: TfjsEngine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => engine.close());

  async function stepOf(
    form: (typeof forms)[number],
    dropout: number,
    how: "eager" | "recorded" | "bf16" | "fp16",
    /** Gradient that the update applies in place of the step's own, and what parameters are made from. */
    {
      given = null,
      seed = 5,
    }: { readonly given?: Float32Array | null; readonly seed?: number } = {},
  ) {
    const configJson = smallBertConfig(form, dropout);
    const table = tableOf(configJson);
    const prepared = await engine.prepare({
      ...programs(configJson, form.rows, form.length),
      eager: how === "eager",
      precision: how === "bf16" || how === "fp16" ? how : "fp32",
    });
    const parameters = smallBertParameters(table, { seed, scale: 0.2 });
    await engine.loadState({ parameters, step: 0 });
    const into = new Float32Array(prepared.reductionSize);
    const place = { step: 3, microbatch: 2, microbatchCount: 4 };
    const result = await engine.runPhase(0, exampleOf(form), place, { gathered: {}, into });
    const gradient = wholeVector(prepared, into, result);
    await engine.norm(given ?? gradient);
    await engine.update({ step: 1, learningRate: 1e-3 });
    const { parameters: updated } = await engine.readState(false);
    return { gradient, updated: updated.slice(), before: parameters };
  }

  for (const form of forms) {
    for (const dropout of [0, 0.3]) {
      it(`${form.name}, dropout ${dropout}`, async () => {
        const composed = await stepOf(form, dropout, "eager");
        const fused = await stepOf(form, dropout, "recorded", { given: composed.gradient });
        const distance = relativeDifference(composed.gradient, fused.gradient);
        assert.ok(distance < 1e-5, `gradients are ${distance} apart`);
        assert.ok(composed.gradient.some((value) => Math.abs(value) > 1e-2));
        const change = (run: typeof fused) => run.updated.map((value, i) => value - run.before[i]!);
        const apart = relativeDifference(change(composed), change(fused));
        assert.ok(apart < 1e-4, `updates are ${apart} apart`);
        assert.ok(relativeDifference(composed.updated, composed.before) > 1e-4);
      });
    }
  }

  it("drops something", async () => {
    const [form] = forms;
    const kept = await stepOf(form, 0, "recorded");
    const dropped = await stepOf(form, 0.3, "recorded");
    assert.ok(relativeDifference(kept.gradient, dropped.gradient) > 0.1);
  });

  it("multiplies in bfloat16 where that is wanted: the same gradient to its rounding, dropout included", async () => {
    for (const form of forms) {
      const distances: number[] = [];
      for (const seed of [5, 6, 7]) {
        const whole = await stepOf(form, 0.3, "recorded", { seed });
        const narrow = await stepOf(form, 0.3, "bf16", { seed });
        distances.push(relativeDifference(whole.gradient, narrow.gradient));
      }
      // A bfloat16 has 8 bits: a rounding is at most 2⁻⁹ of a value. Some of these models make much of it.
      const middle = distances.toSorted((one, other) => one - other)[1] ?? Number.NaN;
      assert.ok(middle < 0.03, `gradients are ${distances.join(", ")} apart`);
      assert.ok(Math.min(...distances) > 1e-4, `nothing was rounded: ${distances.join(", ")}`);
    }
  });

  it("multiplies in half precision where that is wanted: the same gradient to its rounding", async () => {
    for (const form of forms) {
      const whole = await stepOf(form, 0.3, "recorded");
      const narrow = await stepOf(form, 0.3, "fp16");
      const distance = relativeDifference(whole.gradient, narrow.gradient);
      // Half precision has 11 bits: a rounding is at most 2⁻¹² of a value.
      assert.ok(distance < 0.004, `gradients are ${distance} apart`);
      assert.ok(distance > 1e-5, `nothing was rounded: ${distance}`);
    }
  });
});
