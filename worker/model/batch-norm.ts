/**
 * Batch normalisation (Ioffe and Szegedy 2015) by the microbatch's own statistics, in which padding samples do not count,
 * with what follows it in the same pass: a residual and a ReLU.
 */
import * as tf from "@tensorflow/tfjs";
import { float, int, kernelOf, type BlockContext } from "./blocks.ts";
import { at, differentiable } from "./differentiable.ts";

/** What is learnt, each [channels]. */
export interface BatchNormWeights {
  readonly scale: tf.Tensor;
  readonly bias: tf.Tensor;
  readonly epsilon: number;
}

/** What follows the normalisation. */
export interface AfterNorm {
  /** Added before the ReLU, of x's shape; null for nothing. */
  readonly residual: tf.Tensor4D | null;
  readonly relu: boolean;
}

/** Statistics of a microbatch, each [channels]; the variance is the biased one. */
export interface BatchStatistics {
  readonly mean: tf.Tensor;
  readonly variance: tf.Tensor;
}

const overPixels = [0, 1, 2];

/** Samples that count times their pixels, at least 1. */
export function countOf(x: tf.Tensor4D, rowWeights: tf.Tensor): tf.Scalar {
  const [, height, width] = x.shape;
  return tf.maximum(tf.mul(tf.sum(rowWeights), height * width), 1);
}

/**
 * relu(scale · (x − mean) ÷ deviation + bias + residual) by the statistics of the rows that count.
 *
 * Gradient, with n the normalised x, g the gradient behind the ReLU and w the weight of a row:
 * dx = scale ÷ deviation · (g − w ÷ count · (Σ g + n · Σ g·n)).
 * @param x [rows, height, width, channels]
 * @param rowWeights [rows]; 0 for padding
 * @param take is given the statistics; what it keeps of them, it keeps by `tf.keep`
 */
export function batchNorm(
  context: BlockContext,
  x: tf.Tensor4D,
  rowWeights: tf.Tensor,
  {
    weights,
    after,
    take,
  }: {
    readonly weights: BatchNormWeights;
    readonly after: AfterNorm;
    readonly take: (statistics: BatchStatistics) => void;
  },
): tf.Tensor4D {
  const { scale, bias, epsilon } = weights;
  const { residual, relu } = after;
  const added: tf.Tensor = residual ?? tf.zeros<tf.Rank.R1>([0]);
  const rows = x.shape[0];
  const follows = { relu: int(relu ? 1 : 0), residual: int(residual === null ? 0 : 1) };
  const shares = (): tf.Tensor =>
    tf.div(tf.reshape(rowWeights, [rows, 1, 1, 1]), countOf(x, rowWeights));
  return differentiable(
    residual === null ? [x, scale, bias] : [x, scale, bias, residual],
    () => {
      const kernel = kernelOf("BatchNorm", { epsilon: float(epsilon), ...follows });
      const given = [x, rowWeights, scale, bias, added];
      const made = context.block(kernel, given, () => {
        const share = shares();
        const mean = tf.sum(tf.mul(x, share), overPixels);
        const variance = tf.sum(tf.mul(tf.square(tf.sub(x, mean)), share), overPixels);
        const inverse = tf.rsqrt(tf.add(variance, epsilon));
        const z = tf.add(tf.mul(tf.mul(tf.sub(x, mean), inverse), scale), bias);
        return [followed(z, after), mean, variance, inverse];
      });
      const [mean, variance] = [at(made, 1), at(made, 2)];
      take({ mean, variance });
      const value = at(made, 0) as tf.Tensor4D;
      return { value, saved: [x, value, mean, at(made, 3), scale, bias] };
    },
    (dy, saved) => {
      const [input, y, mean, inverse] = [at(saved, 0), at(saved, 1), at(saved, 2), at(saved, 3)];
      const [gain, shift] = [at(saved, 4), at(saved, 5)];
      const given = [dy, input, y, rowWeights, mean, inverse, gain, shift];
      return context.block(kernelOf("BatchNormGradient", follows), given, () => {
        const g = relu ? tf.mul(dy, tf.step(y)) : tf.clone(dy);
        const n = tf.mul(tf.sub(input, mean), inverse);
        const [dScale, dBias] = [tf.sum(tf.mul(g, n), overPixels), tf.sum(g, overPixels)];
        const through = tf.mul(shares(), tf.add(tf.mul(n, dScale), dBias));
        const dx = tf.mul(tf.sub(g, through), tf.mul(inverse, gain));
        return residual === null ? [dx, dScale, dBias] : [dx, dScale, dBias, g];
      });
    },
  );
}

/** The same with statistics that are known, as in evaluation. */
export function normByKnown(
  x: tf.Tensor4D,
  { mean, variance }: BatchStatistics,
  { scale, bias, epsilon }: BatchNormWeights,
  after: AfterNorm,
): tf.Tensor4D {
  const factor = tf.mul(tf.rsqrt(tf.add(variance, epsilon)), scale);
  return followed(tf.add(tf.mul(tf.sub(x, mean), factor), bias), after);
}

function followed(z: tf.Tensor, { residual, relu }: AfterNorm): tf.Tensor4D {
  const sum = residual === null ? z : tf.add(z, residual);
  return (relu ? tf.relu(sum) : sum) as tf.Tensor4D;
}
