/**
 * Which kernel computes a convolution and its gradients. A choice decides bits, so it depends on the shape alone: not on
 * threads, workers or what was fast today. Pure. Measured on a Zen 5 (docs/benchmarks.md): the tiles of 2 × 2 outputs take
 * 0.55 to 0.75 of oneDNN's processor time wherever there are channels enough to fill registers.
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
 * multiplications instead of 36 (worker/engine/native/winograd_loops.h), for all three.
 */
export type ConvolutionForm = "direct" | "winograd";

/** Fewer channels than this leave vector registers empty. */
const leastChannels = 16;

/** The form for a shape. */
export function convolutionForm(shape: ConvolutionShape): ConvolutionForm {
  const { imageSize, filterSize, stride, padding, inputs, outputs } = shape;
  const keepsSize = filterSize === 3 && stride === 1 && padding === 1;
  const fillsTiles = imageSize >= 2 && Math.min(inputs, outputs) >= leastChannels;
  return keepsSize && fillsTiles ? "winograd" : "direct";
}
