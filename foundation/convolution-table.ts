/**
 * The shipped tables of rules by which convolution kernels are chosen. A choice decides bits: so a table is never changed once
 * it was shipped, a better one is added as the next version, and a run keeps the version that it began with (`job.yaml`, and with
 * it the checkpoint). Rules look at shapes alone: not at threads, workers or what was fast today. Pure.
 */

/** A convolution of square images by square filters. */
export interface ConvolutionShape {
  readonly imageSize: number;
  readonly filterSize: number;
  readonly stride: number;
  /** Zeros around the image, on every side. */
  readonly padding: number;
  readonly inputs: number;
  readonly outputs: number;
}

/**
 * `direct`: TensorFlow's convolution and input gradient, our direct filter gradient. `winograd`: tiles of 2 × 2 outputs with 16
 * multiplications instead of 36 (worker/engine/native/winograd_loops.h), for all three; 3 × 3 filters that keep the image's size only.
 */
export type ConvolutionForm = "direct" | "winograd";

/** Takes a form for shapes from a size on; the first rule that fits decides, `direct` where none does. */
interface ConvolutionRule {
  readonly form: ConvolutionForm;
  /** Least size of the image. */
  readonly imageSize: number;
  /** Fewest of inputs and outputs. */
  readonly channels: number;
}

/** Tables by version, from 1. */
const tables: readonly (readonly ConvolutionRule[])[] = [
  [],
  // Fewer channels leave vector registers empty. Measured on AVX-512 and AVX2 (docs/benchmarks.md): from there on the tiles take
  // less processor time at every shape of ResNet-18.
  [{ form: "winograd", imageSize: 2, channels: 16 }],
];

/** The version that new runs begin with. */
export const newestConvolutionTable = tables.length;

/**
 * The form that a table has for a shape.
 * @throws RangeError for a version that this program does not have
 */
export function convolutionForm(version: number, shape: ConvolutionShape): ConvolutionForm {
  const rules = tables[version - 1];
  if (rules === undefined) {
    throw new RangeError(
      `Cannot choose by convolution table ${version}: there are ${tables.length}`,
    );
  }
  const { imageSize, filterSize, stride, padding, inputs, outputs } = shape;
  const keepsSize = filterSize === 3 && stride === 1 && padding === 1;
  const fits = (rule: ConvolutionRule): boolean =>
    imageSize >= rule.imageSize && Math.min(inputs, outputs) >= rule.channels;
  return keepsSize ? (rules.find(fits)?.form ?? "direct") : "direct";
}
