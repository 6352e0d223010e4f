/**
 * Self-attention of sequences that lie one behind the other in one matrix of tokens, with no padding between them. Each
 * sequence sees itself only. The composed forms, which have scores of all tokens with all others, define what kernels compute.
 */
import * as tf from "@tensorflow/tfjs";
import {
  attentionGradient,
  attentionOf,
  maskedScore,
  queriesByHead,
  valueAndStats,
} from "./attention.ts";
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
 * @param projected queries, keys and values side by side, [tokens, 3 · heads · headSize]; tokens behind the last sequence get zeros
 * @param bias of all three, [3 · heads · headSize]
 * @param dropout of the probabilities; as a tensor [1, heads, tokens, tokens]
 * @returns [tokens, heads · headSize]
 */
export function attendPacked(
  context: BlockContext,
  projected: tf.Tensor2D,
  bias: tf.Tensor,
  { form, dropout }: { readonly form: PackedForm; readonly dropout: DropoutSite },
): tf.Tensor2D {
  const { heads, headSize, starts, ends } = form;
  const length = projected.shape[0];
  const shape = { batch: 1, length, heads, headSize };
  const plain = droppingAt(context, dropout, [1, heads, length, length]);
  const dropping = { ...plain, mask: (x: tf.Tensor) => tf.mul(plain.mask(x), owned(form, length)) };
  const attributes = { heads: int(heads), rate: float(dropping.rate) };
  const masked = () => ({ shape, mask: strangersMask(form, length), dropout });
  return differentiable(
    [projected, bias],
    () => {
      const given = [projected, bias, starts, ends, dropping.seed];
      const made = context.block(kernelOf("PackedAttention", attributes), given, () =>
        valueAndStats(attentionOf(projected, bias, masked(), dropping), shape),
      );
      return { value: at(made, 0) as tf.Tensor2D, saved: [...given, at(made, 0), at(made, 1)] };
    },
    (dy, saved) => {
      const kernel = kernelOf("PackedAttentionGradient", attributes);
      return context.block(kernel, [dy, ...saved], () => {
        const forward = attentionOf(at(saved, 0), at(saved, 1), masked(), dropping);
        return attentionGradient({ dy, value: at(saved, 5) }, forward, masked(), dropping);
      });
    },
  );
}

/** 1 for a token of a sequence, 0 for one that fills up, [tokens, 1]. */
function owned(form: PackedForm, tokens: number): tf.Tensor {
  return tf.sum(membersOf(form, tokens), 1, true);
}

/** Very negative between tokens of different sequences, [1, 1, tokens, tokens]. */
function strangersMask(form: PackedForm, tokens: number): tf.Tensor4D {
  const members = membersOf(form, tokens);
  const strangers = tf.sub(1, tf.matMul(members, members, false, true));
  return tf.reshape(tf.mul(strangers, maskedScore), [1, 1, tokens, tokens]);
}

/**
 * First row of each sequence.
 * @param rows [tokens, features]
 * @returns [sequences, features]; of a sequence without tokens it means nothing
 */
export function packedFirstRows(
  context: BlockContext,
  rows: tf.Tensor2D,
  form: PackedForm,
): tf.Tensor2D {
  const { starts, ends } = form;
  return differentiable(
    [rows],
    () => ({ value: tf.gather<tf.Tensor2D>(rows, starts as tf.Tensor1D), saved: [rows] }),
    (dy, saved) =>
      context.block(kernelOf("FirstRowsGradient"), [dy, at(saved, 0), starts, ends], () => {
        const tokens = rows.shape[0];
        const places = tf.reshape(tf.range(0, tokens, 1, "int32"), [tokens, 1]);
        const firsts = tf.mul(
          tf.cast(tf.equal(places, starts), "float32"),
          tf.cast(tf.less(starts, ends), "float32"),
        );
        return [tf.matMul(firsts as tf.Tensor2D, dy as tf.Tensor2D)];
      }),
  );
}

/**
 * The same for the first row of each sequence, as `attendFirstRow` has it.
 * @param query queries of the first rows, [sequences, features]; with them the layer's input, [tokens, features]
 * @param dropout of the probabilities; as a tensor [sequences, heads, tokens]
 * @returns [sequences, features]; of a sequence without tokens it means nothing
 */
export function attendPackedFirstRow(
  context: BlockContext,
  { query, rows }: { readonly query: tf.Tensor2D; readonly rows: tf.Tensor2D },
  weights: { readonly key: tf.Tensor; readonly value: LayerWeights },
  { form, dropout }: { readonly form: PackedForm; readonly dropout: DropoutSite },
): tf.Tensor2D {
  const { heads, headSize } = form;
  const [sequences, features] = query.shape;
  const seen = queriesByHead(query, weights.key, form);
  const dropping = droppingAt(context, dropout, [sequences, heads, rows.shape[0]]);
  const mixed = mix(context, seen, rows, { form, dropping });
  // What the probabilities sum to stands beside what they mix, and the bias beside the weight that it belongs to.
  const { weight, bias } = weights.value;
  const both = tf.concat(
    [tf.reshape(weight, [heads, headSize, features]), tf.reshape(bias, [heads, headSize, 1])],
    2,
  );
  const values = tf.matMul(tf.transpose(mixed, [1, 0, 2]), both, false, true);
  return tf.reshape(tf.transpose(values, [1, 0, 2]), [sequences, features]);
}

/** softmax(queries·rowsᵀ) within each sequence, dropped out, times [rows | 1]: [sequences, heads, features + 1]. */
function mix(
  context: BlockContext,
  queries: tf.Tensor,
  rows: tf.Tensor2D,
  { form, dropping }: { readonly form: PackedForm; readonly dropping: Dropping },
): tf.Tensor {
  const { starts, ends } = form;
  const attributes = { rate: float(dropping.rate) };
  return differentiable(
    [queries, rows],
    () => {
      const given = [queries, rows, starts, ends, dropping.seed];
      const made = context.block(kernelOf("PackedMix", attributes), given, () => {
        const { kept, withOnes } = mixOf(queries, rows, form, dropping);
        return [tf.matMul(kept, withOnes)];
      });
      return { value: at(made, 0), saved: given };
    },
    (dy, saved) =>
      context.block(kernelOf("PackedMixGradient", attributes), [dy, ...saved], () => {
        const [sequences = 0, heads = 0, features = 0] = queries.shape;
        const { kept, probabilities, withOnes } = mixOf(at(saved, 0), at(saved, 1), form, dropping);
        const d = dropping.mask(tf.matMul(dy, withOnes, false, true));
        const dScores = tf.mul(
          probabilities,
          tf.sub(d, tf.sum(tf.mul(d, probabilities), -1, true)),
        );
        const flat = (x: tf.Tensor, last: number): tf.Tensor2D =>
          tf.reshape(x, [sequences * heads, last]);
        const [tokens] = rows.shape;
        const ofRows = tf.slice(dy, [0, 0, 0], [sequences, heads, features]);
        return [
          tf.matMul(dScores, at(saved, 1)),
          tf.add(
            tf.matMul(flat(kept, tokens), flat(ofRows, features), true, false),
            tf.matMul(flat(dScores, tokens), flat(queries, features), true, false),
          ),
        ];
      }),
  );
}

function mixOf(queries: tf.Tensor, rows: tf.Tensor, form: PackedForm, dropping: Dropping) {
  const [sequences = 0, heads = 0, features = 0] = queries.shape;
  const [tokens = 0] = rows.shape;
  const flat = tf.reshape(queries, [sequences * heads, features]);
  const scores = tf.reshape(tf.matMul(flat, rows, false, true), [sequences, heads, tokens]);
  const members = tf.reshape(tf.transpose(membersOf(form, tokens)), [sequences, 1, tokens]);
  const masked = tf.add(scores, tf.mul(tf.sub(1, members), maskedScore));
  // Without tokens there is nothing to mix.
  const probabilities = tf.mul(tf.softmax(masked), members);
  const withOnes = tf.concat([rows, tf.ones([tokens, 1])], 1);
  return { probabilities, kept: dropping.mask(probabilities), withOnes };
}

/** 1 where a token belongs to a sequence, [tokens, sequences]. */
function membersOf({ starts, ends }: PackedForm, tokens: number): tf.Tensor2D {
  const places = tf.reshape(tf.range(0, tokens, 1, "int32"), [tokens, 1]);
  const within = tf.logicalAnd(tf.greaterEqual(places, starts), tf.less(places, ends));
  return tf.cast(within as tf.Tensor2D, "float32");
}
