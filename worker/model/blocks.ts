/**
 * Blocks of an encoder that read and write memory more than they compute: each is written out in tfjs, gradient and all,
 * and named for the kernel that computes it in one pass.
 */
import * as tf from "@tensorflow/tfjs";
import { at, differentiable } from "./differentiable.ts";
import type { Kernel, KernelAttribute, PhaseContext } from "./model.ts";

/** What a block needs of the phase that it is part of. */
export type BlockContext = Pick<PhaseContext, "training" | "dropoutMask" | "dropoutSeed" | "block">;

/** A place where elements are dropped out. */
export interface DropoutSite {
  /** Unique within the model. */
  readonly site: string;
  /** Share that is dropped while training. */
  readonly rate: number;
}

/** A kernel by its op. */
export function kernelOf(op: string, attributes: Kernel["attributes"] = {}): Kernel {
  return { op: `Ringmaster${op}`, attributes };
}

/** A real number as a kernel takes it. */
export function float(value: number): KernelAttribute {
  return { kind: "float", float: value };
}

/** A whole number as a kernel takes it. */
export function int(value: number): KernelAttribute {
  return { kind: "int", int: value };
}

/** What falls at a site in this phase: the rate (0 while evaluating), the kernel's seed, the composed form's mask. */
export interface Dropping {
  readonly rate: number;
  readonly seed: tf.Tensor;
  mask(x: tf.Tensor): tf.Tensor;
}

/** The dropout of a site for a tensor of this shape. */
export function droppingAt(
  context: BlockContext,
  { site, rate }: DropoutSite,
  shape: readonly number[],
): Dropping {
  if (!context.training || rate === 0) {
    return { rate: 0, seed: tf.zeros([2], "int32"), mask: (x) => x };
  }
  const seed = context.dropoutSeed(site);
  return { rate, seed, mask: (x) => tf.mul(x, context.dropoutMask(site, shape, rate)) };
}

/** x with elements dropped out. */
export function dropOut(context: BlockContext, x: tf.Tensor2D, site: DropoutSite): tf.Tensor2D {
  const dropping = droppingAt(context, site, x.shape);
  if (dropping.rate === 0) return x;
  const kernel = kernelOf("Dropout", { rate: float(dropping.rate) });
  const drop = (value: tf.Tensor, seed: tf.Tensor): tf.Tensor[] =>
    context.block(kernel, [value, seed], () => [dropping.mask(value)]);
  return differentiable(
    [x],
    () => ({ value: at(drop(x, dropping.seed), 0) as tf.Tensor2D, saved: [dropping.seed] }),
    (dy, saved) => drop(dy, at(saved, 0)),
  );
}

/** Gain and shift of a LayerNorm. */
export interface NormWeights {
  readonly weight: tf.Tensor;
  readonly bias: tf.Tensor;
}

/** What is added to a LayerNorm's input. */
export interface NormSum {
  /** Added to every row, before dropout. */
  readonly bias: tf.Tensor;
  /** Added after dropout; null for nothing. */
  readonly residual: tf.Tensor2D | null;
  readonly dropout: DropoutSite;
}

/**
 * LayerNorm(dropout(x + bias) + residual) over the last axis of [rows, features].
 * Gradient after Ba, Kiros, Hinton (2016): with n the normalised rows and g = dy·gain,
 * d = (g − mean(g) − n·mean(g·n)) / deviation.
 */
export function layerNorm(
  context: BlockContext,
  x: tf.Tensor2D,
  { bias, residual, dropout }: NormSum,
  { weight: gain, bias: shift, epsilon }: NormWeights & { readonly epsilon: number },
): tf.Tensor2D {
  const rowCount = x.shape[0];
  const dropping = droppingAt(context, dropout, x.shape);
  const added: tf.Tensor = residual ?? tf.zeros<tf.Rank.R1>([0]);
  const rate = float(dropping.rate);
  return differentiable(
    residual === null ? [x, bias, gain, shift] : [x, bias, gain, shift, residual],
    () => {
      const kernel = kernelOf("LayerNorm", { epsilon: float(epsilon), rate });
      const given = [x, bias, added, gain, shift, dropping.seed];
      const made = context.block(kernel, given, () => {
        const dropped = dropping.mask(tf.add(x, bias));
        const sum = residual === null ? dropped : tf.add(dropped, residual);
        const centred = tf.sub(sum, tf.mean(sum, -1, true));
        const variance = tf.mean(tf.square(centred), -1, true);
        const inverse = tf.rsqrt(tf.add(variance, epsilon));
        const normed = tf.mul(centred, inverse);
        return [tf.add(tf.mul(normed, gain), shift), normed, tf.reshape(inverse, [rowCount])];
      });
      const saved = [at(made, 1), at(made, 2), gain, dropping.seed];
      return { value: at(made, 0) as tf.Tensor2D, saved };
    },
    (dy, saved) => {
      const [normed, inverse, scale] = [at(saved, 0), at(saved, 1), at(saved, 2)];
      const kernel = kernelOf("LayerNormGradient", { rate });
      const given = [dy, normed, inverse, scale, at(saved, 3)];
      const [dx, dBias, dResidual, dGain, dShift] = context.block(kernel, given, () => {
        const product = tf.mul(dy, normed);
        const column = tf.reshape(tf.div(scale, scale.size), [-1, 1]);
        const mean = tf.matMul(dy, column);
        const slope = tf.matMul(product, column);
        const inner = tf.sub(tf.mul(dy, scale), tf.add(tf.mul(normed, slope), mean));
        const d = tf.mul(inner, tf.reshape(inverse, [rowCount, 1]));
        const dropped = dropping.mask(d);
        return [tf.clone(dropped), tf.sum(dropped, 0), d, tf.sum(product, 0), tf.sum(dy, 0)];
      }) as [tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor];
      const all = [dx, dBias, dGain, dShift];
      return residual === null ? all : [...all, dResidual];
    },
  );
}

const inverseSqrtTau = 1 / Math.sqrt(2 * Math.PI);

/** v·Φ(v) with v = x + bias and Φ by erf; its derivative is Φ(v) + v·φ(v). */
export function geluOfSum(context: BlockContext, x: tf.Tensor2D, bias: tf.Tensor): tf.Tensor2D {
  const partsOf = (input: tf.Tensor, shift: tf.Tensor) => {
    const v = tf.add(input, shift);
    return { v, phi: tf.add(tf.mul(tf.erf(tf.mul(v, Math.SQRT1_2)), 0.5), 0.5) };
  };
  return differentiable(
    [x, bias],
    () => {
      const made = context.block(kernelOf("Gelu"), [x, bias], () => {
        const { v, phi } = partsOf(x, bias);
        return [tf.mul(v, phi)];
      });
      return { value: at(made, 0) as tf.Tensor2D, saved: [x, bias] };
    },
    (dy, saved) => {
      const [input, shift] = [at(saved, 0), at(saved, 1)];
      return context.block(kernelOf("GeluGradient"), [dy, input, shift], () => {
        const { v, phi } = partsOf(input, shift);
        const density = tf.mul(tf.exp(tf.mul(tf.square(v), -0.5)), inverseSqrtTau);
        const d = tf.mul(dy, tf.add(phi, tf.mul(v, density)));
        return [d, tf.sum(d, 0)];
      });
    },
  );
}
