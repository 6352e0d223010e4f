/** BERTs of three layers for tests of kernels, of sizes that fill no register or several, and parameters that they make something of. */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { someValues } from "./engine-under-test.ts";

/** Sizes of a model. */
export interface SmallBert {
  readonly hidden: number;
  readonly heads: number;
  readonly inner: number;
  /** Default 50. */
  readonly vocabulary?: number;
}

/** Its config. @param more fields beside, or instead of, what every such model has */
export function smallBertConfig(
  { hidden, heads, inner, vocabulary = 50 }: SmallBert,
  dropout: number,
  more: Readonly<Record<string, unknown>> = {},
): string {
  return JSON.stringify({
    model_type: "bert",
    vocab_size: vocabulary,
    hidden_size: hidden,
    num_hidden_layers: 3,
    num_attention_heads: heads,
    intermediate_size: inner,
    max_position_embeddings: 80,
    type_vocab_size: 2,
    hidden_act: "gelu",
    layer_norm_eps: 1e-12,
    hidden_dropout_prob: dropout,
    attention_probs_dropout_prob: dropout,
    id2label: { 0: "no", 1: "yes" },
    ...more,
  });
}

/** Parameters in ± scale, but for the gains of LayerNorms, which are 1. */
export function smallBertParameters(
  table: ParameterTable,
  { seed, scale }: { readonly seed: number; readonly scale: number },
): Float32Array {
  const parameters = someValues(table.stateSize, seed).map((value) => value * scale);
  for (const { name, offset, size } of table.entries) {
    if (name.endsWith("LayerNorm.weight")) parameters.fill(1, offset, offset + size);
  }
  return parameters;
}
