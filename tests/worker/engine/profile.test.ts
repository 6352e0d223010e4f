/**
 * Goal: a profiled step computes the same bits as any other, and what is noted of it is what was run. Method: the same
 * step of a small BERT with dropout, not profiled, profiled, and not profiled again.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { patchBindingSource } from "../../../foundation/native/binding-patch.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import { loadBinding, type TensorFlowBinding } from "../../../worker/engine/binding.ts";
import { productTypes } from "../../../worker/engine/passes/narrow-products.ts";
import { measureMatmulPeak } from "../../../worker/engine/matmul-peak.ts";
import { createModel } from "../../../worker/model/families.ts";
import {
  bindingUnderTest,
  engineUnderTest,
  jobOf,
  sumStep,
} from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

describe("a profiled step", () => {
  it("gives the bits of any other, and tells its ops", async () => {
    const config = JSON.parse(tinyConfig({ num_labels: 2 })) as Record<string, unknown>;
    const specs = bertFamily.tensors(config);
    const job = jobOf({ family: "bert", config, specs, bucketLengths: [16], maxLength: 16 });
    const engine = await engineUnderTest((options) => createModel(options.family, options));
    try {
      const prepared = await engine.prepare(job);
      const table = parseTable(job.tableJson);
      const model = await createModel(job.family, job);
      const batches = ([0, 1] as const).map((variant) =>
        model.exampleBatch("16", "train", variant),
      );
      const step = async (): Promise<Float32Array> => {
        await engine.loadState({ parameters: initialState(table.entries, 11), step: 0 });
        const sums = await sumStep(engine, prepared, batches);
        await engine.norm(sums);
        await engine.update({ step: 1, learningRate: 0.01 });
        const { parameters } = await engine.readState(false);
        return parameters.slice();
      };
      const plain = await step();
      await engine.startProfile();
      const profiled = await step();
      const { spans, leftOut, peakFlops } = await engine.takeProfile();
      assert.deepEqual(profiled, plain);
      assert.deepEqual(await step(), plain);
      assert.throws(() => engine.takeProfile(), /was not started/u);

      assert.equal(leftOut, 0);
      assert.ok(peakFlops > 0);
      const calls = spans.filter(({ track }) => track === "engine");
      assert.deepEqual(
        calls.map(({ name }) => name),
        ["gradients", "gradients", "norm", "update"],
      );
      const ops = spans.filter(({ track }) => track === "ops");
      for (const { startMs, endMs } of ops) {
        assert.ok(startMs <= endMs && startMs >= calls[0]!.startMs - 1000);
      }
      const of = (name: string) => ops.filter((op) => op.name === name);
      assert.equal(of("RingmasterAttention").length, batches.length);
      assert.equal(of("RingmasterAdamW").length, 1);
      const products = ops.filter(({ flops }) => flops > 0);
      assert.ok(products.some(({ detail }) => /near bert\.encoder\.layer\.0\./u.test(detail)));
      // Forward and backward, of the first layer alone: its projections and feed-forward.
      const { hidden_size: hidden, intermediate_size: inner } = config as Record<string, number>;
      const rows = 4 * 16;
      const layer = 2 * rows * hidden! * (4 * hidden! + 2 * inner!);
      const flops = products.reduce((sum, op) => sum + op.flops, 0);
      assert.ok(flops > batches.length * 3 * layer, String(flops));
      assert.ok(flops < batches.length * 3 * layer * 3, String(flops));
    } finally {
      await engine.close();
    }
  });
});

describe("the peak of matrix products", () => {
  it("is measured in the type that the job multiplies in", async () => {
    const binding = loadBinding(await bindingUnderTest());
    const before = binding.getNumOfTensors();
    for (const precision of ["fp32", "bf16", "fp16"] as const) {
      const types: number[] = [];
      const executeOp: TensorFlowBinding["executeOp"] = (name, attributes, ...rest) => {
        const type = attributes.find((attribute) => attribute.name === "T")?.value;
        if (name === "MatMul") types.push(Number(type));
        return binding.executeOp(name, attributes, ...rest);
      };
      // The native object's own properties can be neither copied nor changed.
      const watched = Object.create(binding, {
        executeOp: { value: executeOp },
      }) as TensorFlowBinding;
      const of = { precision, own: null };
      assert.ok(measureMatmulPeak(watched, of, () => performance.now()) > 0);
      assert.ok(types.length > 1);
      assert.ok(types.every((type) => type === productTypes[precision]));
    }
    for (const own of ["fp32", "bf16"] as const) {
      const of = { precision: own, own };
      assert.ok(measureMatmulPeak(binding, of, () => performance.now()) > 0);
    }
    assert.equal(binding.getNumOfTensors(), before);
  });
});

describe("the changed binding", () => {
  it("is made of the source that the changes are for, and of no other", () => {
    const other = { name: "tfjs_backend.cc", content: Buffer.from("int main() {}\n") };
    assert.throws(
      () => patchBindingSource(other),
      /Cannot change tfjs_backend\.cc: expected once/u,
    );
    const untouched = { name: "utils.h", content: Buffer.from("\n") };
    assert.equal(patchBindingSource(untouched), untouched);
  });
});
