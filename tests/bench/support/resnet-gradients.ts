/** Gradients of a ResNet's first microbatches, by the real engine; images are made up, as there is no reader of images yet. */
import { initialState } from "../../../foundation/families/values-family.ts";
import { valuesShapeKey } from "../../../worker/model/collate-values.ts";
import { programs, startEngine, tableOf } from "../../parity/engine-under-test.ts";
import { someValues } from "../../support/engine-under-test.ts";
import { wholeVector } from "../../support/whole-vector.ts";
import { gradientsOf, type RealGradients } from "./real-gradients.ts";

const labels = 10;
const channels = 3;

/** Computes them. ResNet-18 has hidden sizes of 64 to 512 and images of 32 × 32. */
export async function resnetGradients(form: {
  readonly microbatches: number;
  readonly rows: number;
  readonly hiddenSizes: readonly number[];
  readonly imageSize: number;
}): Promise<RealGradients> {
  const { rows, hiddenSizes, imageSize } = form;
  const configJson = JSON.stringify({
    model_type: "cifar-resnet",
    image_size: imageSize,
    hidden_sizes: hiddenSizes,
    depths: hiddenSizes.map(() => 2),
    num_labels: labels,
  });
  const table = tableOf(configJson);
  const engine = await startEngine();
  try {
    const settings = {
      ...programs(configJson, rows, 1),
      family: "cifar-resnet",
      bucketLengths: [],
    };
    const prepared = await engine.prepare(settings);
    await engine.loadState({ parameters: initialState(table.entries, 42), step: 0 });
    const microbatches: Float32Array[] = [];
    for (let microbatch = 0; microbatch < form.microbatches; microbatch++) {
      const batch = {
        shapeKey: valuesShapeKey,
        arrays: {
          values: someValues(rows * imageSize ** 2 * channels, microbatch),
          labels: Int32Array.from({ length: rows }, (_, row) => (row * 7 + microbatch) % labels),
          weights: new Float32Array(rows).fill(1),
        },
        samples: rows,
        tokens: rows,
        paddedTokens: rows,
        truncated: 0,
      };
      const into = new Float32Array(prepared.reductionSize);
      const at = { step: 1, microbatch, microbatchCount: form.microbatches };
      const result = await engine.runPhase(0, batch, at, { gathered: {}, into });
      microbatches.push(wholeVector(prepared, into, result));
    }
    return gradientsOf(microbatches, { prepared, table, groupOf });
  } finally {
    await engine.close();
  }
}

function groupOf(name: string): string {
  return /conv.*weight$|downsample\.0|^fc\.weight$/u.test(name) ? "filters" : "scales and biases";
}
