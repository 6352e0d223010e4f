/**
 * Layers that transformer encoders are made of, on matrices of [rows, features]: dense, projection, embedding lookup.
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

/** x·Wᵀ for x [rows, in] and several weights at once: [rows, all outs]. One product is faster than several. */
export function project(x: tf.Tensor2D, weights: readonly tf.Tensor[]): tf.Tensor2D {
  const join = (): tf.Tensor =>
    weights.length === 1 ? at([...weights], 0) : tf.concat([...weights], 0);
  return differentiable(
    [x, ...weights],
    () => ({ value: tf.matMul<tf.Tensor2D>(x, join(), false, true), saved: [x] }),
    (dy, saved) => {
      const dWeights = tf.matMul(dy, at(saved, 0), true, false);
      const outs = weights.map(({ shape: [out = 0] }) => out);
      return [
        tf.matMul(dy, join()),
        ...(weights.length === 1 ? [dWeights] : tf.split(dWeights, outs, 0)),
      ];
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

/**
 * The same where each token says its position: int32 [tokens] each, without a gradient.
 * @returns [tokens, features]
 */
export function embedAt(
  { words, positions, types }: EmbeddingTables,
  indices: {
    readonly ids: tf.Tensor;
    readonly positionIds: tf.Tensor;
    readonly typeIds: tf.Tensor;
  },
): tf.Tensor2D {
  const rowsOf = (table: tf.Tensor, at: tf.Tensor) =>
    tf.gather<tf.Tensor2D>(table as tf.Tensor2D, at as tf.Tensor1D);
  const placed = tf.add(rowsOf(words, indices.ids), rowsOf(positions, indices.positionIds));
  return tf.add(placed, rowsOf(types, indices.typeIds));
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
