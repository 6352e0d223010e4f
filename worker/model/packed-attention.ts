/**
 * Self-attention of sequences that lie one behind the other in one matrix of tokens, with no padding between them: forward
 * alone, as an evaluation has it. Each sequence sees itself only.
 */
import * as tf from "@tensorflow/tfjs";
import { composedAttention, maskedScore, queriesByHead, valuesByHead } from "./attention.ts";
import { int, kernelOf, type BlockContext } from "./blocks.ts";
import { at } from "./differentiable.ts";
import type { LayerWeights } from "./layers.ts";

/** Where sequences lie, and how attention is divided. */
export interface PackedForm {
  readonly heads: number;
  /** Features of one head. */
  readonly headSize: number;
  /** First token of each sequence and the one after its last, int32 [sequences]; both 0 for a sequence without tokens. */
  readonly starts: tf.Tensor;
  readonly ends: tf.Tensor;
}

/**
 * softmax(q·kᵀ/√headSize)·v within each sequence, where [q | k | v] = projected + bias.
 * @param projected queries, keys and values side by side, [tokens, 3 · heads · headSize]; every token belongs to a sequence
 * @param bias of all three, [3 · heads · headSize]
 * @returns [tokens, heads · headSize]
 */
export function attendPacked(
  context: BlockContext,
  projected: tf.Tensor2D,
  bias: tf.Tensor,
  form: PackedForm,
): tf.Tensor2D {
  const { heads, headSize, starts, ends } = form;
  const kernel = kernelOf("PackedAttention", { heads: int(heads) });
  const made = context.block(kernel, [projected, bias, starts, ends], () => {
    const length = projected.shape[0];
    const members = membersOf(form, length);
    const strangers = tf.sub(1, tf.matMul(members, members, false, true));
    const mask: tf.Tensor4D = tf.reshape(tf.mul(strangers, maskedScore), [1, 1, length, length]);
    const shape = { batch: 1, length, heads, headSize };
    const undropped = { rate: 0, seed: tf.zeros([2], "int32"), mask: (x: tf.Tensor) => x };
    const dropout = { site: "", rate: 0 };
    return [composedAttention(projected, bias, { shape, mask, dropout }, undropped)];
  });
  return at(made, 0) as tf.Tensor2D;
}

/**
 * The same for the first row of each sequence, as `attendFirstRow` has it.
 * @param query queries of the first rows, [sequences, features]; with them the layer's input, [tokens, features]
 * @returns [sequences, features]; of a sequence without tokens it means nothing
 */
export function attendPackedFirstRow(
  context: BlockContext,
  { query, rows }: { readonly query: tf.Tensor2D; readonly rows: tf.Tensor2D },
  weights: { readonly key: tf.Tensor; readonly value: LayerWeights },
  form: PackedForm,
): tf.Tensor2D {
  const { heads, starts, ends } = form;
  const [sequences, features] = query.shape;
  const seen = queriesByHead(query, weights.key, form);
  const made = context.block(kernelOf("PackedMix"), [seen, rows, starts, ends], () => {
    const flat = tf.reshape(seen, [sequences * heads, features]);
    const [length] = rows.shape;
    const scores = tf.reshape(tf.matMul(flat, rows, false, true), [sequences, heads, length]);
    const members = tf.reshape(tf.transpose<tf.Tensor2D>(membersOf(form, length)), [
      sequences,
      1,
      length,
    ]);
    const masked = tf.add(scores, tf.mul(tf.sub(1, members), maskedScore));
    // Without tokens there is nothing to mix.
    const probabilities = tf.mul(tf.softmax(masked), members);
    const mixed = tf.matMul(
      tf.reshape<tf.Rank.R2>(probabilities, [sequences * heads, length]),
      rows,
    );
    return [tf.reshape(mixed, [sequences, heads, features])];
  });
  return valuesByHead(at(made, 0), weights.value, null, form);
}

/** 1 where a token belongs to a sequence, [tokens, sequences]. */
function membersOf({ starts, ends }: PackedForm, tokens: number): tf.Tensor2D {
  const places = tf.reshape(tf.range(0, tokens, 1, "int32"), [tokens, 1]);
  const within = tf.logicalAnd(tf.greaterEqual(places, starts), tf.less(places, ends));
  return tf.cast(within as tf.Tensor2D, "float32");
}
