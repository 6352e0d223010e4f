/**
 * Layers that transformer encoders are made of, on matrices of [rows, features]: dense, projection, embedding lookup.
 * Weights are [out, in] as PyTorch keeps them; the transposition happens inside the matrix product.
 */
import * as tf from "@tensorflow/tfjs";
import { int, kernelOf, type BlockContext } from "./blocks.ts";
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
export function project(
  context: BlockContext,
  x: tf.Tensor2D,
  weights: readonly tf.Tensor[],
): tf.Tensor2D {
  const kernel = kernelOf("Join", { N: int(weights.length) });
  const joined = (): tf.Tensor[] => [tf.concat([...weights], 0)];
  const join = (): tf.Tensor =>
    at(weights.length === 1 ? [...weights] : context.block(kernel, [...weights], joined), 0);
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

/** What is looked up by each token: int32 [tokens]. */
export interface TokenIndices {
  readonly ids: tf.Tensor;
  /** Rows of `words` that the ids stand for; the ids themselves where `words` is whole. */
  readonly places: tf.Tensor;
  /** The rows of `words` that there are, by number, where nobody knows how many; null where `words` says so. */
  readonly among: tf.Tensor | null;
  readonly positionIds: tf.Tensor;
  readonly typeIds: tf.Tensor;
  /** Word without a gradient (PyTorch's `padding_idx`), or null. */
  readonly padTokenId: number | null;
}

/** Sum of word, position and type embeddings, [tokens, features]. */
export function embed(
  context: BlockContext,
  { words, positions, types }: EmbeddingTables,
  { ids, places, among, positionIds, typeIds, padTokenId }: TokenIndices,
): tf.Tensor2D {
  const rowsOf = (table: tf.Tensor, indices: tf.Tensor) =>
    tf.gather<tf.Tensor2D>(table as tf.Tensor2D, indices as tf.Tensor1D);
  return differentiable(
    [words, positions, types],
    () => {
      const given = [words, positions, types, places, positionIds, typeIds];
      const made = context.block(kernelOf("Embed"), given, () => [
        tf.add(
          tf.add(rowsOf(words, places), rowsOf(positions, positionIds)),
          rowsOf(types, typeIds),
        ),
      ]);
      return { value: at(made, 0) as tf.Tensor2D, saved: [ids, places, positionIds, typeIds] };
    },
    (dy, saved) => [
      rowSums(context, dy, learntOf(at(saved, 0), at(saved, 1), padTokenId), among ?? words.shape),
      rowSums(context, dy, at(saved, 2), positions.shape),
      rowSums(context, dy, at(saved, 3), types.shape),
    ],
  );
}

/**
 * Rows of a gradient added up by place; those of places below zero are left out.
 * @param among the table's shape, or a tensor with an element for each of its rows
 */
function rowSums(
  context: BlockContext,
  dy: tf.Tensor,
  places: tf.Tensor,
  among: tf.Tensor | readonly number[],
): tf.Tensor {
  const isOpen = among instanceof tf.Tensor;
  const [rows = 0] = isOpen ? among.shape : among;
  const kernel = kernelOf("RowSums", { places: int(isOpen ? 0 : rows) });
  const made = context.block(kernel, [dy, places, isOpen ? among : places], () => [
    tf.unsortedSegmentSum(dy, places as tf.Tensor1D, rows),
  ]);
  return at(made, 0);
}

/** Places of words, −1 for the one without a gradient: by arithmetic, as that asks for no length. */
function learntOf(ids: tf.Tensor, places: tf.Tensor, padTokenId: number | null): tf.Tensor {
  if (padTokenId === null) return places;
  const isPad = tf.cast(tf.equal(ids, tf.scalar(padTokenId, "int32")), "int32");
  return tf.sub(tf.mul(places, tf.sub(tf.scalar(1, "int32"), isPad)), isPad);
}
