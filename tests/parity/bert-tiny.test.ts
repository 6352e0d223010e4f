/**
 * Goal: every activation, every problem type and the config's other switches compute what transformers computes. Method: a
 * BERT of three small layers with weights that both sides make, each case eager, some recorded, against stored values.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { layOutReduction } from "../../worker/engine/reduction-layout.ts";
import type { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import { batchOf, programs, startEngine, tableOf, withoutDropout } from "./engine-under-test.ts";
import { wholeVector } from "../support/whole-vector.ts";
import { fixedWeights, project, relativeDistance } from "./fixed-values.ts";
import { references } from "./references.ts";

const { config, batch: tokens, cases } = references.tiny;
const rows = tokens.input_ids.length;
const length = tokens.input_ids[0]!.length;
/** Cases that are recorded too, where a graph could differ; recording takes ten times as long as running. */
const recorded = new Set([
  "hidden_act gelu",
  "hidden_act gelu_new",
  "label smoothing",
  "several labels",
  "regression of two values",
  "one layer",
]);

describe("a small BERT equals transformers'", () => {
  let engine: TfjsEngine;
  before(async () => {
    engine = await startEngine();
  });
  after(async () => engine.close());

  for (const [name, reference] of Object.entries(cases)) {
    for (const eager of recorded.has(name) ? [false, true] : [true]) {
      it(`${name}, ${eager ? "eager" : "recorded"}`, async () => {
        const { labels, fields, smoothing } = reference;
        const outputs = reference.logits.length / rows;
        const names = Object.fromEntries(
          Array.from({ length: outputs }, (_, label) => [String(label), `label ${label}`]),
        );
        const configJson = withoutDropout({ ...config, ...fields, id2label: names });
        const table = tableOf(configJson);
        const settings = programs(configJson, rows, length);
        const prepared = await engine.prepare({ ...settings, eager, labelSmoothing: smoothing });
        await engine.loadState({ parameters: fixedState(table), step: 0 });
        const single = fields["problem_type"] === "single_label_classification";
        const flat = labels.flat();
        const batch = batchOf(tokens, single ? Int32Array.from(flat) : Float32Array.from(flat));

        const evaluated = await engine.evaluate(batch);
        for (const [place, logit] of reference.logits.entries()) {
          assert.ok(Math.abs(evaluated.logits[place]! - logit) < 1e-4, `logit ${place}`);
        }
        assert.equal(evaluated.weight, rows);
        assert.ok(Math.abs(evaluated.lossSum / rows - reference.loss) < 1e-5);

        const layout = layOutReduction(table);
        const into = new Float32Array(layout.size);
        const place = { step: 1, microbatch: 0, microbatchCount: 1 };
        const given = await engine.runPhase(0, batch, place, { gathered: {}, into });
        const reduced = wholeVector(prepared, into, given);
        assert.ok(Math.abs(reduced[layout.size - 2]! / rows - reference.loss) < 1e-5);
        for (const entry of table.entries) {
          const from = entry.trainableOffset!;
          const mean = reduced.slice(from, from + entry.size).map((sum) => sum / rows);
          const expected = reference.gradients[entry.name]!;
          const found = project(mean, expected.length - 1);
          if (entry.name.endsWith("key.bias")) {
            // Zero in theory: rounding alone, beside the gradient of the weight.
            const weight = reference.gradients[entry.name.replace("bias", "weight")]!;
            assert.ok(found[0]! < 1e-6 * weight[0]!, `${entry.name} ${found[0]}`);
          } else assertClose(entry.name, relativeDistance(found, expected));
        }
      });
    }
  }
});

function assertClose(name: string, distance: number): void {
  assert.ok(distance < 1e-3, `${name} is ${distance} away, relative to its norm`);
}

/** As tiny_model of make-references.py. */
function fixedState(table: ReturnType<typeof tableOf>): Float32Array {
  const state = new Float32Array(table.stateSize);
  for (const [place, { name, offset, size }] of table.entries.entries()) {
    const values = fixedWeights(size, 100 + place, 0.25);
    const shifted = name.endsWith("LayerNorm.weight") ? values.map((value) => value + 1) : values;
    state.set(shifted, offset);
  }
  return state;
}
