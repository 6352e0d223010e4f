/** A BERT of a few hundred numbers in a folder, as transformers would write it: for tests that need a real model, fast. */
import { mkdir } from "node:fs/promises";
import { familyOf } from "../../foundation/families/family.ts";
import { parseJsonObject } from "../../foundation/model-files/json-object.ts";
import { writeModel } from "../../foundation/model-files/write-model.ts";
import { layOutTable } from "../../foundation/parameters/table.ts";

const letters = "abcdefghijklmnopqrstuvwxyz0123456789".split("");

/** Its vocabulary: special tokens, then single letters and digits, then the same as continuations. */
export const tinyVocabulary = [
  "[PAD]",
  "[UNK]",
  "[CLS]",
  "[SEP]",
  "[MASK]",
  ...letters,
  ...letters.map((letter) => `##${letter}`),
];

/** Fields of config.json that differ from the tiny model's own. */
export type ConfigChanges = Readonly<Record<string, unknown>>;

/** The config. Without labels in it, it is that of a model that was not fine-tuned. */
export function tinyConfig(changes: ConfigChanges = {}): string {
  const config = {
    architectures: ["BertForSequenceClassification"],
    model_type: "bert",
    vocab_size: tinyVocabulary.length,
    hidden_size: 8,
    num_hidden_layers: 2,
    num_attention_heads: 2,
    intermediate_size: 16,
    max_position_embeddings: 32,
    hidden_dropout_prob: 0.1,
    attention_probs_dropout_prob: 0.1,
    ...changes,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

/** A small deterministic sequence of numbers in ±0.1. */
function valueAt(index: number): number {
  return ((index * 2654435761) % 1000) / 5000 - 0.1;
}

/** Writes the model into a new folder. @param headScale factor of the classifier's weights */
export async function writeTinyBert(
  folder: string,
  changes: ConfigChanges = {},
  headScale = 1,
): Promise<void> {
  await mkdir(folder, { recursive: true });
  const configJson = tinyConfig(changes);
  const config = parseJsonObject(configJson, "config.json");
  const specs = familyOf(configJson).tensors(config);
  const { stateSize, entries } = layOutTable(specs);
  const state = Float32Array.from({ length: stateSize }, (_, index) => valueAt(index));
  for (const { name, offset, size } of entries) {
    if (name.endsWith("LayerNorm.weight")) state.fill(1, offset, offset + size);
    if (name !== "classifier.weight") continue;
    for (let i = offset; i < offset + size; i++) state[i] = (state[i] ?? 0) * headScale;
  }
  const text = (value: string): Uint8Array => new TextEncoder().encode(value);
  const tokenizerFiles = new Map([
    ["vocab.txt", text(`${tinyVocabulary.join("\n")}\n`)],
    [
      "tokenizer_config.json",
      text('{"tokenizer_class": "BertTokenizer", "do_lower_case": true}\n'),
    ],
  ]);
  await writeModel(folder, { configJson, specs, state, tokenizerFiles });
}
