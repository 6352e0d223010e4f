/**
 * Layers that transformer encoders are made of, on matrices of [rows, features]: dense, LayerNorm, embedding lookup.
 * Weights are [out, in] as PyTorch keeps them; the transposition happens inside the matrix product.
 */
import * as tf from "@tensorflow/tfjs";
import { at, differentiable } from "./differentiable.ts";

/** Weight and bias of one layer. */
export interface LayerWeights {
  readonly weight: tf.Tensor;
  readonly bias: tf.Tensor;
}

/** x·Wᵀ + b for x [rows, in]. */
export function dense(x: tf.Tensor2D, { weight, bias }: LayerWeights): tf.Tensor2D {
  return differentiable(
    [x, weight, bias],
    () => ({ value: tf.add(tf.matMul(x, weight, false, true), bias), saved: [x, weight] }),
    (dy, saved) => [
      tf.matMul(dy, at(saved, 1)),
      tf.matMul(dy, at(saved, 0), true, false),
      tf.sum(dy, 0),
    ],
  );
}

/**
 * LayerNorm(x + residual), or LayerNorm(x), over the last axis of [rows, features].
 * Gradient after Ba, Kiros, Hinton (2016): with n the normalised rows and g = dy·gain,
 * dx = (g − mean(g) − n·mean(g·n)) / deviation.
 */
export function layerNorm(
  x: tf.Tensor2D,
  residual: tf.Tensor2D | null,
  { weight: gain, bias }: LayerWeights,
  epsilon: number,
): tf.Tensor2D {
  const inputs = residual === null ? [x, gain, bias] : [x, residual, gain, bias];
  return differentiable(
    inputs,
    () => {
      const sum = residual === null ? x : tf.add(x, residual);
      const centred = tf.sub(sum, tf.mean(sum, -1, true));
      const variance = tf.mean(tf.square(centred), -1, true);
      const inverse = tf.rsqrt(tf.add(variance, epsilon));
      const normed = tf.mul(centred, inverse);
      return {
        value: tf.add<tf.Tensor2D>(tf.mul(normed, gain), bias),
        saved: [normed, inverse, gain],
      };
    },
    (dy, saved) => {
      const [normed, inverse, scale] = [at(saved, 0), at(saved, 1), at(saved, 2)];
      const product = tf.mul(dy, normed);
      const column = tf.reshape(tf.div(scale, scale.size), [-1, 1]);
      const mean = tf.matMul(dy, column);
      const meanProduct = tf.matMul(product, column);
      const inner = tf.sub(tf.mul(dy, scale), tf.add(tf.mul(normed, meanProduct), mean));
      const dx = tf.mul(inner, inverse);
      const weights = [tf.sum(product, 0), tf.sum(dy, 0)];
      return residual === null ? [dx, ...weights] : [dx, dx, ...weights];
    },
  );
}

/** Tables that are looked up and added. */
export interface EmbeddingTables {
  /** [vocabulary, features], or some rows of it */
  readonly words: tf.Tensor;
  /** [positions, features] */
  readonly positions: tf.Tensor;
  /** [types, features] */
  readonly types: tf.Tensor;
}

/** What is looked up: both int32 [batch, length]. */
export interface EmbeddingIndices {
  readonly ids: tf.Tensor;
  /** Rows of `words` that the ids stand for, [batch, length]; the ids themselves where `words` is whole. */
  readonly places: tf.Tensor;
  readonly typeIds: tf.Tensor;
  /** Word without a gradient (PyTorch's `padding_idx`), or null. */
  readonly padTokenId: number | null;
}

/** Sum of word, position and type embeddings, [batch · length, features]. */
export function embed(tables: EmbeddingTables, indices: EmbeddingIndices): tf.Tensor2D {
  const { words, positions, types } = tables;
  const [batch = 0, length = 0] = indices.ids.shape;
  const rows = batch * length;
  const ids: tf.Tensor1D = tf.reshape(indices.ids, [rows]);
  const places: tf.Tensor1D = tf.reshape(indices.places, [rows]);
  const typeIds: tf.Tensor1D = tf.reshape(indices.typeIds, [rows]);
  const [vocabulary = 0, features = 0] = words.shape;
  const [positionCount = 0] = positions.shape;
  const [typeCount = 0] = types.shape;
  return differentiable(
    [words, positions, types],
    () => {
      const word = tf.reshape(tf.gather(words, places), [batch, length, features]);
      const placed = tf.add(word, tf.slice(positions, [0, 0], [length, features]));
      const value = tf.add(tf.reshape(placed, [rows, features]), tf.gather(types, typeIds));
      return { value: value as tf.Tensor2D, saved: [ids, places, typeIds] };
    },
    (dy, saved) => {
      const saved1d = (index: number) => at(saved, index) as tf.Tensor1D;
      const learnt = learntPlaces(saved1d(0), saved1d(1), indices.padTokenId);
      const column = tf.sum(tf.reshape(dy, [batch, length, features]), 0);
      return [
        // Segments below zero are dropped.
        tf.unsortedSegmentSum(dy, learnt, vocabulary),
        tf.pad(column, [
          [0, positionCount - length],
          [0, 0],
        ]),
        tf.unsortedSegmentSum(dy, saved1d(2), typeCount),
      ];
    },
  );
}

function learntPlaces(
  ids: tf.Tensor1D,
  places: tf.Tensor1D,
  padTokenId: number | null,
): tf.Tensor1D {
  if (padTokenId === null) return places;
  const isPad = tf.equal(ids, tf.scalar(padTokenId, "int32"));
  return tf.where<tf.Tensor1D>(isPad, tf.fill([1], -1, "int32"), places);
}
