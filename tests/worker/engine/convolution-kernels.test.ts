/**
 * Goal: the kernels for filter gradients and batch normalisation compute what the composed ops do. Method: one small ResNet
 * with a padding row, eager (composed) and recorded (kernels), at sizes that fill no vector register and at ones that need
 * several parts, panels and strips.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  cifarResnetTensors,
  parseCifarResnetConfig,
} from "../../../foundation/families/cifar-resnet.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import type { Engine } from "../../../worker/engine/engine.ts";
import { createCifarResnet } from "../../../worker/model/cifar-resnet.ts";
import {
  engineUnderTest,
  jobOf,
  relativeDifference,
  someValues,
} from "../../support/engine-under-test.ts";

const forms = [
  { name: "odd sizes", image_size: 9, hidden_sizes: [5, 19], rows: 3 },
  { name: "one pixel at the end", image_size: 3, hidden_sizes: [16, 33, 70], rows: 4 },
  { name: "several panels and parts", image_size: 20, hidden_sizes: [64, 130], rows: 5 },
  { name: "more inputs than one block holds", image_size: 6, hidden_sizes: [20, 270], rows: 4 },
] as const;

describe("kernels for images equal the composed ops", () => {
  let engine: Engine;
  before(async () => {
    engine = await engineUnderTest(createCifarResnet);
  });
  after(() => engine.close());

  async function gradientOf(form: (typeof forms)[number], eager: boolean, convolutionTable = 2) {
    const { rows, image_size, hidden_sizes } = form;
    const depths = hidden_sizes.map(() => 1);
    const sizes = { image_size, hidden_sizes, depths, num_labels: 3 };
    const config = { model_type: "cifar-resnet", ...sizes };
    const specs = cifarResnetTensors(parseCifarResnetConfig(config));
    const microbatch = { microbatchSize: rows, evalMicrobatchSize: rows };
    const job = jobOf({
      family: "cifar-resnet",
      config,
      specs,
      ...microbatch,
      eager,
      convolutionTable,
    });
    const prepared = await engine.prepare(job);
    const table = layOutTable(specs);
    const parameters = someValues(table.stateSize, 5).map((value) => value * 0.3);
    for (const { shape, offset, size } of table.entries) {
      if (shape.length === 1) parameters.subarray(offset, offset + size).forEach(shifted);
    }
    await engine.loadState({ parameters, step: 0 });
    const options = { ...job, configJson: JSON.stringify(config) };
    // The second variant has a padding row.
    const batch = createCifarResnet(options).exampleBatch("values", "train", 1);
    const into = new Float32Array(prepared.reductionSize);
    const place = { step: 1, microbatch: 0, microbatchCount: 1 };
    await engine.runPhase(0, batch, place, { gathered: {}, into });
    return { into, table };
  }

  for (const form of forms) {
    it(form.name, async () => {
      const { into: composed, table } = await gradientOf(form, true);
      const { into: fused } = await gradientOf(form, false);
      for (const { name, size, trainableOffset } of table.entries) {
        if (trainableOffset === null) continue;
        const part = (whole: Float32Array) =>
          whole.subarray(trainableOffset, trainableOffset + size);
        const distance = relativeDifference(part(composed), part(fused));
        assert.ok(distance < 1e-4, `${name} is ${distance} apart`);
        assert.ok(
          part(fused).some((value) => Math.abs(value) > 1e-5),
          `${name} is nothing`,
        );
      }
      const buffers = (whole: Float32Array) => whole.subarray(table.trainableSize);
      assert.ok(relativeDifference(buffers(composed), buffers(fused)) < 1e-5);
    });
  }

  it("are chosen by the job's table: another has other bits, the same has the same", async () => {
    const form = forms[2];
    const [first, other] = [await gradientOf(form, false, 1), await gradientOf(form, false, 2)];
    assert.notDeepEqual(other.into, first.into);
    assert.ok(relativeDifference(other.into, first.into) < 1e-4);
    assert.deepEqual((await gradientOf(form, false, 1)).into, first.into);
  });
});

/** Scales and running variances are about 1. */
function shifted(value: number, place: number, values: Float32Array): void {
  values[place] = value + 1;
}
