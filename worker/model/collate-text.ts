/**
 * Texts to batches: tokenise, cut at the maximum length, take the smallest bucket that holds the longest sample, fill up.
 */
import { packedLength } from "../../foundation/job/packs-sequences.ts";
import { parseBertConfig, type BertConfig } from "../../foundation/families/bert-config.ts";
import { openTextTokenizer, type Encoding } from "../../foundation/tokenizer/text-tokenizer.ts";
import type { SampleRecord } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { packedKey } from "./bert-inputs.ts";
import type { Collator } from "./collator.ts";
import type { CollatorOptions } from "./collators.ts";
import { sequenceInputs } from "./sequence-inputs.ts";

/** Makes the collator of a BERT classifier. Throws BadInput for a config or tokenizer that is not supported. */
export function createTextCollator(config: unknown, options: CollatorOptions): Collator {
  const bert = parseBertConfig(config);
  const source = { folder: "model", modelType: "bert" };
  const tokenizer = openTextTokenizer(options.tokenizerFiles, source);
  const padId = bert.padTokenId ?? tokenizer.padId;
  return {
    collate: (samples, microbatchSize) => {
      if (samples.length === 0 || samples.length > microbatchSize) {
        throw new RangeError(
          `Cannot collate ${samples.length} samples into ${microbatchSize} rows`,
        );
      }
      const encodings = samples.map(({ text, textPair }) =>
        tokenizer.encode(text, textPair, options.maxLength),
      );
      const rows = microbatchSize;
      const tokens = encodings.reduce((sum, { ids }) => sum + ids.length, 0);
      const batch = {
        samples: samples.length,
        tokens,
        truncated: encodings.filter(({ truncated }) => truncated).length,
      };
      const labels = labelArrays(samples, rows, bert);
      if (options.packed === true) {
        const filledUp = packedLength(tokens);
        const arrays = { ...packedArrays(encodings, { rows, tokens: filledUp }), ...labels };
        return { ...batch, shapeKey: packedKey, arrays, paddedTokens: filledUp };
      }
      const length = bucketOf(encodings, options.bucketLengths);
      const arrays = { ...tokenArrays(encodings, { rows, length, padId }), ...labels };
      return { ...batch, shapeKey: String(length), arrays, paddedTokens: rows * length };
    },
  };
}

function bucketOf(encodings: readonly Encoding[], buckets: readonly number[]): number {
  const longest = encodings.reduce((most, { ids }) => Math.max(most, ids.length), 0);
  const bucket = buckets.find((length) => length >= longest);
  if (bucket === undefined) {
    throw new RangeError(
      `Cannot collate ${longest} tokens: the longest bucket has ${buckets.at(-1) ?? 0}`,
    );
  }
  return bucket;
}

function tokenArrays(
  encodings: readonly Encoding[],
  {
    rows,
    length,
    padId,
  }: { readonly rows: number; readonly length: number; readonly padId: number },
): Record<string, Float32Array | Int32Array> {
  const ids = new Int32Array(rows * length).fill(padId);
  const mask = new Float32Array(rows * length);
  const typeIds = new Int32Array(rows * length);
  for (const [row, encoding] of encodings.entries()) {
    ids.set(encoding.ids, row * length);
    typeIds.set(encoding.typeIds, row * length);
    mask.fill(1, row * length, row * length + encoding.ids.length);
  }
  return { input_ids: ids, attention_mask: mask, token_type_ids: typeIds };
}

/** Sequences one behind the other; what fills up behind the last is its beginning again, so that no other word is touched. */
function packedArrays(
  encodings: readonly Encoding[],
  { rows, tokens }: { readonly rows: number; readonly tokens: number },
): Record<string, Int32Array> {
  const ids = new Int32Array(tokens);
  const positions = new Int32Array(tokens);
  const typeIds = new Int32Array(tokens);
  const starts = new Int32Array(rows);
  const ends = new Int32Array(rows);
  let start = 0;
  for (const [row, encoding] of encodings.entries()) {
    const end = start + encoding.ids.length;
    ids.set(encoding.ids, start);
    typeIds.set(encoding.typeIds, start);
    for (let token = start; token < end; token++) positions[token] = token - start;
    starts[row] = start;
    ends[row] = end;
    start = end;
  }
  ids.fill(ids[0] ?? 0, start);
  return {
    input_ids: ids,
    position_ids: positions,
    token_type_ids: typeIds,
    [sequenceInputs.starts]: starts,
    [sequenceInputs.ends]: ends,
  };
}

function labelArrays(
  samples: readonly SampleRecord[],
  rows: number,
  { problemType, labels }: BertConfig,
): Record<string, Float32Array | Int32Array> {
  const weights = new Float32Array(rows);
  if (problemType === "single_label_classification") {
    const numbers = new Int32Array(rows);
    for (const [row, { label }] of samples.entries()) {
      if (label === undefined) continue;
      if (label >= labels.length) {
        throw new RangeError(`Cannot collate label ${label}: the model has ${labels.length}`);
      }
      numbers[row] = label;
      weights[row] = 1;
    }
    return { labels: numbers, weights };
  }
  const targets = new Float32Array(rows * labels.length);
  for (const [row, sample] of samples.entries()) {
    const values = sample.target === undefined ? sample.targets : [sample.target];
    if (values.length === 0) continue;
    if (values.length !== labels.length) {
      throw new RangeError(
        `Cannot collate ${values.length} targets: the model has ${labels.length} outputs`,
      );
    }
    targets.set(values, row * labels.length);
    weights[row] = 1;
  }
  return { labels: targets, weights };
}
