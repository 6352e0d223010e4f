/** BERTs of random weights, in folders as transformers writes them: benches need a shape, not a skill. */
import { mkdirSync } from "node:fs";
import { familyOf } from "../../../foundation/families/family.ts";
import { parseJsonObject } from "../../../foundation/model-files/json-object.ts";
import { writeModel } from "../../../foundation/model-files/write-model.ts";
import { WrongFlag } from "./bench-flags.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";

/** Sizes of a BERT. */
export interface BertShape {
  readonly layers: number;
  readonly hidden: number;
  readonly heads: number;
  readonly intermediate: number;
  readonly vocabulary: number;
  readonly positions: number;
}

/** The shapes that benches know by name; `tiny` only shows that the harness works. */
export const bertShapes: Readonly<Record<string, BertShape>> = {
  minilm: {
    layers: 6,
    hidden: 384,
    heads: 12,
    intermediate: 1536,
    vocabulary: 30_522,
    positions: 512,
  },
  "bert-base": {
    layers: 12,
    hidden: 768,
    heads: 12,
    intermediate: 3072,
    vocabulary: 30_522,
    positions: 512,
  },
  tiny: { layers: 2, hidden: 16, heads: 2, intermediate: 32, vocabulary: 300, positions: 64 },
};

/** Checks names of shapes. Throws WrongFlag. */
export function shapeNames(names: readonly string[]): readonly string[] {
  const unknown = names.find((name) => bertShapes[name] === undefined);
  if (unknown === undefined) return names;
  const known = Object.keys(bertShapes).join(", ");
  throw new WrongFlag(`--models: expected some of ${known}, found "${unknown}"`);
}

const special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** The word that is one token in these vocabularies. */
export function wordOf(index: number): string {
  return `w${index}`;
}

/** Words of a vocabulary, its special tokens left out. */
export function wordCount(shape: BertShape): number {
  return shape.vocabulary - special.length;
}

/** Standard deviation of BERT's initial weights. */
const deviation = 0.02;

/** Uniform values of BERT's deviation, from a linear congruential generator (Numerical Recipes' constants). */
function randomValues(length: number): Float32Array {
  const values = new Float32Array(length);
  const scale = (deviation * Math.sqrt(12)) / 2 ** 32;
  let state = 1;
  for (let i = 0; i < length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    values[i] = state * scale;
  }
  return values;
}

/** A config's fields that let our side compute the last layer whole, for a row that shows what leaving it out gains. */
export const lastLayerWhole = { ringmaster_last_layer_whole: true } as const;

/** `config.json` of a classifier of a shape, with the same dropout everywhere. @param more fields of it */
export function bertConfigJson(
  shape: BertShape,
  dropout: number,
  more: Readonly<Record<string, unknown>> = {},
): string {
  return JSON.stringify({
    architectures: ["BertForSequenceClassification"],
    model_type: "bert",
    vocab_size: shape.vocabulary,
    hidden_size: shape.hidden,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    intermediate_size: shape.intermediate,
    max_position_embeddings: shape.positions,
    hidden_act: "gelu",
    hidden_dropout_prob: dropout,
    attention_probs_dropout_prob: dropout,
    id2label: { 0: "a", 1: "b" },
    label2id: { a: 0, b: 1 },
    ...more,
  });
}

/**
 * Writes a model of a shape into a new folder, with the same dropout everywhere.
 * @param more fields of its config
 */
export async function writeRandomBert(
  folder: string,
  shape: BertShape,
  dropout: number,
  more: Readonly<Record<string, unknown>> = {},
): Promise<void> {
  mkdirSync(folder, { recursive: true });
  const configJson = bertConfigJson(shape, dropout, more);
  const specs = familyOf(configJson).tensors(parseJsonObject(configJson, "config.json"));
  const { stateSize, entries } = layOutTable(specs);
  const state = randomValues(stateSize);
  for (const { name, offset, size } of entries) {
    if (name.endsWith("LayerNorm.weight")) state.fill(1, offset, offset + size);
    else if (name.endsWith("bias")) state.fill(0, offset, offset + size);
  }
  const words = Array.from({ length: wordCount(shape) }, (_, index) => wordOf(index));
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
  const tokenizerFiles = new Map([
    ["vocab.txt", bytes(`${[...special, ...words].join("\n")}\n`)],
    [
      "tokenizer_config.json",
      bytes(
        `${JSON.stringify({
          tokenizer_class: "BertTokenizer",
          do_lower_case: true,
          model_max_length: shape.positions,
        })}\n`,
      ),
    ],
  ]);
  await writeModel(folder, { configJson, specs, state, tokenizerFiles });
}
