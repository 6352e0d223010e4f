/**
 * Layers that transformer encoders are made of, on matrices of [rows, features]: dense, projection, embedding lookup.
 * Weights are [out, in] as PyTorch keeps them; the transposition happens inside the matrix product.
 */
import * as tf from "@tensorflow/tfjs";
import { kernelOf, type BlockContext } from "./blocks.ts";
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

/** What is looked up where tokens lie one behind the other, and each says its position: int32 [tokens] each. */
export interface TokenIndices extends EmbeddingIndices {
  readonly positionIds: tf.Tensor;
  /** The rows of `words` that there are, by number; null where `words` is whole. */
  readonly among: tf.Tensor | null;
}

/** The same for these, [tokens, features]. */
export function embedAt(
  context: BlockContext,
  { words, positions, types }: EmbeddingTables,
  { ids, places, among, positionIds, typeIds, padTokenId }: TokenIndices,
): tf.Tensor2D {
  const rowsOf = (table: tf.Tensor, indices: tf.Tensor) =>
    tf.gather<tf.Tensor2D>(table as tf.Tensor2D, indices as tf.Tensor1D);
  const sumsOf = (dy: tf.Tensor, indices: tf.Tensor, table: tf.Tensor): tf.Tensor =>
    tf.unsortedSegmentSum(dy, indices as tf.Tensor1D, table.shape[0] ?? 0);
  return differentiable(
    [words, positions, types],
    () => {
      const placed = tf.add(rowsOf(words, places), rowsOf(positions, positionIds));
      const value = tf.add(placed, rowsOf(types, typeIds));
      return { value: value as tf.Tensor2D, saved: [ids, places, positionIds, typeIds] };
    },
    (dy, saved) => {
      const learnt = learntOf(at(saved, 0), at(saved, 1), padTokenId);
      const ofWords = (): tf.Tensor[] => [sumsOf(dy, learnt, among ?? words)];
      const kernel = kernelOf("RowSums");
      return [
        at(among === null ? ofWords() : context.block(kernel, [dy, learnt, among], ofWords), 0),
        sumsOf(dy, at(saved, 2), positions),
        sumsOf(dy, at(saved, 3), types),
      ];
    },
  );
}

/** Places of words, −1 for the one without a gradient: by arithmetic, as that asks for no length. */
function learntOf(ids: tf.Tensor, places: tf.Tensor, padTokenId: number | null): tf.Tensor {
  if (padTokenId === null) return places;
  const isPad = tf.cast(tf.equal(ids, tf.scalar(padTokenId, "int32")), "int32");
  return tf.sub(tf.mul(places, tf.sub(tf.scalar(1, "int32"), isPad)), isPad);
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
