/**
 * Self-attention, twice: for all rows, and for the first row of each sequence only.
 *
 * A classifier reads nothing but the first row ([CLS]) of the last layer. For that one query the keys and values need
 * not be computed: q·(W_k x_s) = (W_kᵀ q)·x_s, and Σ p_s·(W_v x_s) = W_v·Σ p_s x_s. Values and gradients are the same; two
 * of the layer's matrix products shrink from all tokens to one a sequence. The keys' bias adds the same to all scores
 * of a row, which softmax does not see: its gradient is exactly zero, and it does not appear at all.
 */
import * as tf from "@tensorflow/tfjs";
import { at, differentiable } from "./differentiable.ts";
import type { LayerWeights } from "./layers.ts";

/** Sizes of the attention of one microbatch. */
export interface AttentionShape {
  readonly batch: number;
  readonly length: number;
  readonly heads: number;
  /** Features of one head. */
  readonly headSize: number;
}

/** What both forms add to the scores, and drop from the probabilities. */
export interface AttentionMasks {
  /** Added to the scores, [batch, 1, 1, length]: 0 for tokens, very negative for padding. */
  readonly bias: tf.Tensor4D;
  /** Factors of the probabilities (0 or 1/(1 − rate)), or null without dropout. */
  readonly dropout: tf.Tensor | null;
}

/** Very negative, and still finite when all of a row is masked. */
export const maskedScore = -1e9;

/** The additive mask of a batch, made once for all layers. */
export function maskBias(mask: tf.Tensor): tf.Tensor4D {
  const [batch = 0, length = 0] = mask.shape;
  return tf.reshape(tf.mul(tf.sub(1, mask), maskedScore), [batch, 1, 1, length]);
}

/**
 * softmax(q·kᵀ/√headSize + bias)·v for all rows. Queries, keys, values and result are [batch · length, heads · headSize].
 * The softmax gradient needs Σ_s dp_s·p_s per row; that sum equals dy·y of the row (Dao et al., 2022, also with dropout),
 * which is a pass over rows instead of two over scores.
 */
export function attend(
  [query, key, value]: readonly [tf.Tensor2D, tf.Tensor2D, tf.Tensor2D],
  shape: AttentionShape,
  masks: AttentionMasks,
): tf.Tensor2D {
  const scale = 1 / Math.sqrt(shape.headSize);
  return differentiable(
    [query, key, value],
    () => {
      const [q, k, v] = [split(query, shape), split(key, shape), split(value, shape)];
      const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), scale), masks.bias);
      const probabilities = tf.softmax(scores);
      const kept = drop(probabilities, masks.dropout);
      const context = tf.matMul(kept, v);
      return { value: merge(context, shape), saved: [q, k, v, probabilities, kept, context] };
    },
    (dy, saved) => {
      const [q, k, v] = [at(saved, 0), at(saved, 1), at(saved, 2)];
      const [probabilities, kept, context] = [at(saved, 3), at(saved, 4), at(saved, 5)];
      const dContext = split(dy, shape);
      const dValue = tf.matMul(kept, dContext, true, false);
      // The scale enters here, on the smallest tensor that it can enter on.
      const scaled = tf.mul(dContext, scale);
      const dProbabilities = drop(tf.matMul(scaled, v, false, true), masks.dropout);
      const rowSums = tf.sum(tf.mul(scaled, context), -1, true);
      const dScores = tf.mul(probabilities, tf.sub(dProbabilities, rowSums));
      const dQuery = tf.matMul(dScores, k);
      const dKey = tf.matMul(dScores, q, true, false);
      return [merge(dQuery, shape), merge(dKey, shape), merge(dValue, shape)];
    },
  );
}

/**
 * The same for the first row of each sequence.
 * @param query queries of the first rows, [batch, features]
 * @param rows input of the layer, all rows, [batch · length, features]
 * @param weights of keys (the bias has no influence) and values
 * @returns [batch, features]
 */
export function attendFirstRow(
  query: tf.Tensor2D,
  rows: tf.Tensor2D,
  weights: { readonly key: tf.Tensor; readonly value: LayerWeights },
  { shape, masks }: { readonly shape: AttentionShape; readonly masks: AttentionMasks },
): tf.Tensor2D {
  const { batch, length, heads, headSize } = shape;
  const features = heads * headSize;
  const byHead = [heads, headSize, features];
  const tokens = tf.reshape(rows, [batch, length, features]);
  const scaled = tf.mul(query, 1 / Math.sqrt(headSize));
  const q = tf.transpose(tf.reshape(scaled, [batch, heads, headSize]), [1, 0, 2]);
  // [heads, batch, features]: each head's query, seen from the layer's input.
  const seen = tf.matMul(q, tf.reshape(weights.key, byHead));
  const scores = tf.matMul(tf.transpose(seen, [1, 0, 2]), tokens, false, true);
  const bias = tf.reshape(masks.bias, [batch, 1, length]);
  const kept = drop(tf.softmax(tf.add(scores, bias)), masks.dropout);
  const mixed = tf.transpose(tf.matMul(kept, tokens), [1, 0, 2]);
  const context = tf.matMul(mixed, tf.reshape(weights.value.weight, byHead), false, true);
  const merged = tf.reshape(tf.transpose(context, [1, 0, 2]), [batch, heads, headSize]);
  const valueBias = tf.reshape(weights.value.bias, [heads, headSize]);
  // Probabilities sum to one; what dropout leaves of them does not.
  const share = masks.dropout === null ? valueBias : tf.mul(tf.sum(kept, -1, true), valueBias);
  return tf.reshape(tf.add(merged, share), [batch, features]);
}

function drop(probabilities: tf.Tensor, dropout: tf.Tensor | null): tf.Tensor {
  return dropout === null ? probabilities : tf.mul(probabilities, dropout);
}

/** [batch · length, heads · headSize] → [batch, heads, length, headSize] */
function split(x: tf.Tensor, { batch, length, heads, headSize }: AttentionShape): tf.Tensor {
  return tf.transpose(tf.reshape(x, [batch, length, heads, headSize]), [0, 2, 1, 3]);
}

/** The reverse of `split`. */
function merge(x: tf.Tensor, { batch, length, heads, headSize }: AttentionShape): tf.Tensor2D {
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch * length, heads * headSize]);
}
