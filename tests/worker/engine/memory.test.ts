/**
 * Goal: training goes on without growing. Method: some hundred whole steps of a small BERT after a warm-up; tensors of the
 * binding are counted, and native memory (the resident set without JavaScript's heap) may grow by far less than one vector
 * of gradients a step. The long form at MiniLM's shape, real processes: `npm run soak:memory`.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import { loadBinding } from "../../../worker/engine/binding.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { createModel } from "../../../worker/model/families.ts";
import { bindingUnderTest, engineUnderTest, jobOf } from "../../support/engine-under-test.ts";
import { wholeVector } from "../../support/whole-vector.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

const warmUpSteps = 100;
const steps = 300;
/** A vector of gradients has 300 KiB here: what leaks one, or a tensor of a layer, is seen. */
const growthMax = 32 * 1024;

describe("an engine's memory", () => {
  it("does not grow with the steps", async () => {
    const changes = { num_labels: 2, hidden_size: 64, intermediate_size: 128 };
    const config = JSON.parse(tinyConfig(changes)) as Record<string, unknown>;
    const specs = bertFamily.tensors(config);
    const job = jobOf({ family: "bert", config, specs, bucketLengths: [16], maxLength: 16 });
    const binding = loadBinding(await bindingUnderTest());
    const engine = await engineUnderTest((options) => createModel(options.family, options));
    try {
      const prepared = await engine.prepare(job);
      const table = parseTable(job.tableJson);
      await engine.loadState({ parameters: initialState(table.entries, 11), step: 0 });
      const model = await createModel(job.family, job);
      const batches = ([0, 1] as const).map((variant) =>
        model.exampleBatch("16", "train", variant),
      );
      const into = allocateShared(prepared.reductionSize);
      const reduced = allocateShared(prepared.reductionSize);
      const native = (): number => {
        const { rss, heapTotal } = process.memoryUsage();
        return rss - heapTotal;
      };
      let before = { bytes: 0, tensors: 0 };
      for (let step = 1; step <= warmUpSteps + steps; step++) {
        for (const [microbatch, batch] of batches.entries()) {
          const place = { step, microbatch, microbatchCount: batches.length };
          const given = await engine.runPhase(0, batch, place, { gathered: {}, into });
          reduced.set(wholeVector(prepared, into, given));
        }
        const { gradNorm } = await engine.norm(reduced);
        assert.ok(Number.isFinite(gradNorm));
        await engine.update({ step, learningRate: 1e-4 });
        if (step === warmUpSteps) before = { bytes: native(), tensors: binding.getNumOfTensors() };
      }
      assert.equal(binding.getNumOfTensors(), before.tensors);
      const growth = (native() - before.bytes) / steps;
      assert.ok(growth < growthMax, `${growth.toFixed(0)} bytes a step, at most ${growthMax}`);
    } finally {
      await engine.close();
    }
  });
});
