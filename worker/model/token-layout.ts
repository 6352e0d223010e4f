/**
 * How the tokens of a microbatch lie in an encoder's matrix of rows, and what depends on it: where each looks up its position,
 * whom it attends to, and which row is its sequence's first.
 */
import * as tf from "@tensorflow/tfjs";
import { attend, attendFirstRow, maskBias } from "./attention.ts";
import type { DropoutSite } from "./blocks.ts";
import { inputOf } from "./gradients.ts";
import { embed, type EmbeddingTables, type LayerWeights } from "./layers.ts";
import { placesInput, rowsInput } from "./looked-up.ts";
import type { PhaseContext } from "./model.ts";
import { attendPacked, attendPackedFirstRow, packedFirstRows } from "./packed-attention.ts";
import { sequenceInputs } from "./sequence-inputs.ts";

/** A microbatch's layout. Rows are [tokens, features], those of a sequence one behind the other. */
export interface TokenLayout {
  /** Sum of word, position and type embeddings. */
  embed(tables: EmbeddingTables, padTokenId: number | null): tf.Tensor2D;
  /** @param projected queries, keys and values side by side, without their bias */
  attend(projected: tf.Tensor2D, bias: tf.Tensor, dropout: DropoutSite): tf.Tensor2D;
  /** First row of each sequence, [sequences, features]. */
  firstRows(rows: tf.Tensor2D): tf.Tensor2D;
  /** What the first row of each sequence attends to. */
  attendFirstRow(
    from: { readonly query: tf.Tensor2D; readonly rows: tf.Tensor2D },
    weights: { readonly key: tf.Tensor; readonly value: LayerWeights },
    dropout: DropoutSite,
  ): tf.Tensor2D;
}

/** What a layout has to know of the model. */
export interface LayoutOptions {
  readonly heads: number;
  readonly headSize: number;
  /** Table that `input_ids` look up, of which a program may have some rows only. */
  readonly wordTable: string;
}

/** The layout that a batch's inputs have: packed where they say where sequences lie, else padded to one length. */
export function layoutOf(context: PhaseContext, options: LayoutOptions): TokenLayout {
  return context.inputs[sequenceInputs.starts] === undefined
    ? paddedLayout(context, options)
    : packedLayout(context, options);
}

function paddedLayout(context: PhaseContext, options: LayoutOptions): TokenLayout {
  const { heads, headSize, wordTable } = options;
  const ids = inputOf(context, "input_ids");
  const tokens = inputOf(context, "attention_mask");
  const [batch = 0, length = 0] = tokens.shape;
  const shape = { batch, length, heads, headSize };
  const mask = maskBias(tokens);
  return {
    embed: (tables, padTokenId) => {
      const tokenCount = batch * length;
      const flat = (indices: tf.Tensor): tf.Tensor => tf.reshape(indices, [tokenCount]);
      const places = context.inputs[placesInput(wordTable)] ?? ids;
      const positionIds = Int32Array.from({ length: tokenCount }, (_, token) => token % length);
      return embed(context, tables, {
        ids: flat(ids),
        places: flat(places),
        among: null,
        positionIds: tf.tensor1d(positionIds, "int32"),
        typeIds: flat(inputOf(context, "token_type_ids")),
        padTokenId,
      });
    },
    attend: (projected, bias, dropout) =>
      attend(context, projected, bias, { shape, mask, dropout }),
    firstRows: (rows) => {
      const features = heads * headSize;
      const sequences = tf.reshape(rows, [batch, length, features]);
      return tf.reshape(tf.slice(sequences, [0, 0, 0], [batch, 1, features]), [batch, features]);
    },
    attendFirstRow: (from, weights, dropout) =>
      attendFirstRow(context, from, weights, { shape, mask, dropout }),
  };
}

function packedLayout(context: PhaseContext, options: LayoutOptions): TokenLayout {
  const { heads, headSize, wordTable } = options;
  const ids = inputOf(context, "input_ids");
  const starts = inputOf(context, sequenceInputs.starts);
  const form = { heads, headSize, starts, ends: inputOf(context, sequenceInputs.ends) };
  return {
    embed: (tables, padTokenId) =>
      embed(context, tables, {
        ids,
        places: context.inputs[placesInput(wordTable)] ?? ids,
        among: context.inputs[rowsInput(wordTable)] ?? null,
        positionIds: inputOf(context, "position_ids"),
        typeIds: inputOf(context, "token_type_ids"),
        padTokenId,
      }),
    attend: (projected, bias, dropout) => attendPacked(context, projected, bias, { form, dropout }),
    firstRows: (rows) => packedFirstRows(context, rows, form),
    attendFirstRow: (from, weights, dropout) =>
      attendPackedFirstRow(context, from, weights, { form, dropout }),
  };
}
