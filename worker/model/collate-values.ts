/** Records of float values as batches, for the families that read such. Missing samples become padding rows of weight 0. */
import { BadInput } from "../../foundation/bad-input.ts";
import type { SampleRecord } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { JsonObject } from "../../foundation/model-files/json-object.ts";
import { parseCifarResnetConfig } from "../../foundation/families/cifar-resnet.ts";
import { imageWidth } from "../../foundation/families/image-config.ts";
import { parseTinyConvnetConfig } from "../../foundation/families/tiny-convnet.ts";
import { parseTwoTowerConfig, twoTowerWidth } from "../../foundation/families/two-tower.ts";
import type { Collator } from "./collator.ts";
import type { Batch } from "./model.ts";

/** The only shape of these families. */
export const valuesShapeKey = "values";

function valuesOf(sample: SampleRecord, width: number): Float32Array {
  const { values } = sample;
  if (values.byteLength !== width * Float32Array.BYTES_PER_ELEMENT) {
    throw new BadInput({
      column: "values",
      expected: `${width} float32 values in sample ${sample.index}`,
      found: `${values.byteLength} bytes`,
    });
  }
  // Copied, because a message's bytes may start anywhere.
  return new Float32Array(Uint8Array.from(values).buffer);
}

/**
 * Collates samples of `width` values each into [microbatchSize, width] rows.
 * @param labels number of labels, or 0 for a family without
 */
export function collateValues(
  samples: readonly SampleRecord[],
  form: { readonly microbatchSize: number; readonly width: number; readonly labels: number },
): Batch {
  const { microbatchSize, width, labels } = form;
  if (samples.length === 0 || samples.length > microbatchSize) {
    throw new RangeError(`Cannot collate ${samples.length} samples into ${microbatchSize} rows`);
  }
  const values = new Float32Array(microbatchSize * width);
  const weights = new Float32Array(microbatchSize);
  const numbers = new Int32Array(microbatchSize);
  for (const [row, sample] of samples.entries()) {
    values.set(valuesOf(sample, width), row * width);
    weights[row] = 1;
    const label = sample.label ?? 0;
    if (labels > 0 && label >= labels) {
      throw new BadInput({ column: "label", expected: `0 to ${labels - 1}`, found: `${label}` });
    }
    numbers[row] = label;
  }
  return {
    shapeKey: valuesShapeKey,
    arrays: labels > 0 ? { values, weights, labels: numbers } : { values, weights },
    samples: samples.length,
    tokens: samples.length,
    paddedTokens: microbatchSize,
    truncated: 0,
  };
}

/** The collator of a family of values. Throws BadInput for its config. */
export function createValuesCollator(config: JsonObject): Collator {
  const form = valuesFormOf(config);
  return {
    collate: (samples, microbatchSize) => collateValues(samples, { ...form, microbatchSize }),
  };
}

/** How many values a record of such a family has, and how many labels there are. Throws BadInput for its config. */
export function valuesFormOf(config: JsonObject): {
  readonly width: number;
  readonly labels: number;
} {
  const type = config["model_type"];
  if (type === "two-tower") {
    return { width: twoTowerWidth(parseTwoTowerConfig(config)), labels: 0 };
  }
  const parsed =
    type === "cifar-resnet" ? parseCifarResnetConfig(config) : parseTinyConvnetConfig(config);
  return { width: imageWidth(parsed), labels: parsed.num_labels };
}

/** A batch that differs from the other variant's in every value that may differ; the second has a padding row. */
export function exampleValues(
  form: { readonly microbatchSize: number; readonly width: number; readonly labels: number },
  variant: 0 | 1,
): Batch {
  const { microbatchSize, width, labels } = form;
  const samples = variant === 0 ? microbatchSize : Math.max(1, microbatchSize - 1);
  const values = Float32Array.from({ length: microbatchSize * width }, (_, i) =>
    Math.sin(1 + i * (0.7 + variant)),
  );
  const weights = Float32Array.from({ length: microbatchSize }, (_, i) => (i < samples ? 1 : 0));
  const numbers = Int32Array.from({ length: microbatchSize }, (_, i) => (i + variant) % labels);
  return {
    shapeKey: valuesShapeKey,
    arrays: labels > 0 ? { values, weights, labels: numbers } : { values, weights },
    samples,
    tokens: samples,
    paddedTokens: microbatchSize,
    truncated: 0,
  };
}
