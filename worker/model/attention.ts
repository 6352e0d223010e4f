/**
 * Self-attention, twice: for all rows, and for the first row of each sequence only.
 *
 * A classifier reads nothing but the first row ([CLS]) of the last layer. For that one query the keys and values need
 * not be computed: q·(W_k x_s) = (W_kᵀ q)·x_s, and Σ p_s·(W_v x_s) = W_v·Σ p_s x_s. Values and gradients are the same; two
 * of the layer's matrix products shrink from all tokens to one a sequence. The keys' bias adds the same to all scores
 * of a row, which softmax does not see: its gradient is exactly zero, and it does not appear at all.
 */
import * as tf from "@tensorflow/tfjs";
import {
  droppingAt,
  float,
  int,
  kernelOf,
  type BlockContext,
  type Dropping,
  type DropoutSite,
} from "./blocks.ts";
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

/** Attention of a microbatch. */
export interface AttentionForm {
  readonly shape: AttentionShape;
  /** Added to the scores, [batch, 1, 1, length]: 0 for tokens, very negative for padding. */
  readonly mask: tf.Tensor4D;
  /** Of the probabilities. */
  readonly dropout: DropoutSite;
}

/** Very negative, and still finite when all of a row is masked. */
export const maskedScore = -1e9;

/** The additive mask of a batch, made once for all layers. */
export function maskBias(mask: tf.Tensor): tf.Tensor4D {
  const [batch = 0, length = 0] = mask.shape;
  return tf.reshape(tf.mul(tf.sub(1, mask), maskedScore), [batch, 1, 1, length]);
}

/**
 * softmax(q·kᵀ/√headSize + mask)·v for all rows, where [q | k | v] = projected + bias.
 * The softmax gradient needs Σ_s dp_s·p_s per row; that sum equals dy·y of the row (Dao et al., 2022, also with dropout),
 * which is a pass over rows instead of two over scores.
 * @param projected queries, keys and values side by side, [batch · length, 3 · heads · headSize]
 * @param bias of all three, [3 · heads · headSize]
 * @returns [batch · length, heads · headSize]
 */
export function attend(
  context: BlockContext,
  projected: tf.Tensor2D,
  bias: tf.Tensor,
  form: AttentionForm,
): tf.Tensor2D {
  const { shape, mask, dropout } = form;
  const { batch, length, heads } = shape;
  const dropping = droppingAt(context, dropout, [batch, heads, length, length]);
  const attributes = { heads: int(heads), length: int(length), rate: float(dropping.rate) };
  return differentiable(
    [projected, bias],
    () => {
      const kernel = kernelOf("Attention", attributes);
      const given = [projected, bias, mask, dropping.seed];
      const made = context.block(kernel, given, () => {
        return valueAndStats(attentionOf(projected, bias, form, dropping), shape);
      });
      const saved = [projected, bias, mask, dropping.seed, at(made, 0), at(made, 1)];
      return { value: at(made, 0) as tf.Tensor2D, saved };
    },
    (dy, saved) => {
      const kernel = kernelOf("AttentionGradient", attributes);
      return context.block(kernel, [dy, ...saved], () => {
        const own = { ...form, mask: at(saved, 2) as tf.Tensor4D };
        const forward = attentionOf(at(saved, 0), at(saved, 1), own, dropping);
        return attentionGradient({ dy, value: at(saved, 4) }, forward, form, dropping);
      });
    },
  );
}

/** What attention is composed of: all that its value and its gradient need. Masks may be of any shape that broadcasts to scores'. */
export function attentionOf(
  projected: tf.Tensor,
  bias: tf.Tensor,
  { shape, mask }: AttentionForm,
  dropping: Dropping,
) {
  const parts = tf.split(tf.add(projected, bias), 3, -1);
  const [q, k, v] = [
    split(at(parts, 0), shape),
    split(at(parts, 1), shape),
    split(at(parts, 2), shape),
  ];
  const scores = tf.add(tf.mul(tf.matMul(q, k, false, true), scaleOf(shape)), mask);
  const probabilities = tf.softmax(scores);
  return { q, k, v, scores, probabilities, kept: dropping.mask(probabilities) };
}

/** The value, and what the kernel keeps of each row of scores: the largest, and 1 ÷ the sum of exponentials. */
export function valueAndStats(
  { v, scores, kept }: ReturnType<typeof attentionOf>,
  shape: AttentionShape,
): tf.Tensor[] {
  const largest = tf.max(scores, -1, true);
  const inverse = tf.div(1, tf.sum(tf.exp(tf.sub(scores, largest)), -1, true));
  const stats = tf.reshape(tf.concat([largest, inverse], -1), [-1]);
  return [merge(tf.matMul(kept, v), shape), stats];
}

/** Slopes of `projected` and of its bias. */
export function attentionGradient(
  { dy, value }: { readonly dy: tf.Tensor; readonly value: tf.Tensor },
  forward: ReturnType<typeof attentionOf>,
  { shape }: AttentionForm,
  dropping: Dropping,
): tf.Tensor[] {
  const { q, k, v, probabilities, kept } = forward;
  const dContext = split(dy, shape);
  const dValue = tf.matMul(kept, dContext, true, false);
  // The scale enters here, on the smallest tensor that it can enter on.
  const scaled = tf.mul(dContext, scaleOf(shape));
  const dProbabilities = dropping.mask(tf.matMul(scaled, v, false, true));
  const rowSums = tf.sum(tf.mul(scaled, split(value, shape)), -1, true);
  const dScores = tf.mul(probabilities, tf.sub(dProbabilities, rowSums));
  const dQuery = tf.matMul(dScores, k);
  const dKey = tf.matMul(dScores, q, true, false);
  const dRows = tf.concat([merge(dQuery, shape), merge(dKey, shape), merge(dValue, shape)], -1);
  return [dRows, tf.sum(dRows, 0)];
}

function scaleOf({ headSize }: AttentionShape): number {
  return 1 / Math.sqrt(headSize);
}

/**
 * The same for the first row of each sequence.
 * @param query queries of the first rows, [batch, features]; with them the layer's input, [batch · length, features]
 * @param weights of keys (the bias has no influence) and values
 * @returns [batch, features]
 */
export function attendFirstRow(
  context: BlockContext,
  { query, rows }: { readonly query: tf.Tensor2D; readonly rows: tf.Tensor2D },
  weights: { readonly key: tf.Tensor; readonly value: LayerWeights },
  { shape, mask, dropout }: AttentionForm,
): tf.Tensor2D {
  const { batch, length, heads } = shape;
  const features = heads * shape.headSize;
  const tokens = tf.reshape(rows, [batch, length, features]);
  const seen = queriesByHead(query, weights.key, shape);
  const scores = tf.matMul(seen, tokens, false, true);
  const bias = tf.reshape(mask, [batch, 1, length]);
  const dropping = droppingAt(context, dropout, [batch, heads, length]);
  const kept = dropping.mask(tf.softmax(tf.add(scores, bias)));
  const mixed = tf.matMul(kept, tokens);
  // Probabilities sum to one; what dropout leaves of them does not.
  const share = dropping.rate === 0 ? null : tf.sum(kept, -1, true);
  return valuesByHead(mixed, weights.value, share, shape);
}

type HeadSizes = Pick<AttentionShape, "heads" | "headSize">;

/** Each head's scaled query, seen from the layer's input: [batch, features] to [batch, heads, features]. */
export function queriesByHead(
  query: tf.Tensor2D,
  key: tf.Tensor,
  { heads, headSize }: HeadSizes,
): tf.Tensor {
  const [batch, features] = query.shape;
  const scaled = tf.mul(query, 1 / Math.sqrt(headSize));
  const q = tf.transpose(tf.reshape(scaled, [batch, heads, headSize]), [1, 0, 2]);
  return tf.transpose(tf.matMul(q, tf.reshape(key, [heads, headSize, features])), [1, 0, 2]);
}

/**
 * Each head's value of what it has mixed of the layer's input: [batch, heads, features] to [batch, features].
 * @param share what the probabilities sum to, [batch, heads, 1]; null for one
 */
function valuesByHead(
  mixed: tf.Tensor,
  value: LayerWeights,
  share: tf.Tensor | null,
  { heads, headSize }: HeadSizes,
): tf.Tensor2D {
  const [batch = 0, , features = 0] = mixed.shape;
  const weight = tf.reshape(value.weight, [heads, headSize, features]);
  const values = tf.matMul(tf.transpose(mixed, [1, 0, 2]), weight, false, true);
  const merged = tf.reshape(tf.transpose(values, [1, 0, 2]), [batch, heads, headSize]);
  const bias = tf.reshape(value.bias, [heads, headSize]);
  return tf.reshape(tf.add(merged, share === null ? bias : tf.mul(share, bias)), [batch, features]);
}

/** [batch · length, heads · headSize] → [batch, heads, length, headSize] */
function split(x: tf.Tensor, { batch, length, heads, headSize }: AttentionShape): tf.Tensor {
  return tf.transpose(tf.reshape(x, [batch, length, heads, headSize]), [0, 2, 1, 3]);
}

/** The reverse of `split`. */
function merge(x: tf.Tensor, { batch, length, heads, headSize }: AttentionShape): tf.Tensor2D {
  return tf.reshape(tf.transpose(x, [0, 2, 1, 3]), [batch * length, heads * headSize]);
}
