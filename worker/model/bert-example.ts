/** Batches that the programs are recorded with. Two variants differ, so that a value frozen by accident shows. */
import type { BertConfig } from "../../foundation/families/bert-config.ts";
import { packedKey, type BatchShape } from "./bert-inputs.ts";
import type { Batch } from "./model.ts";
import { sequenceInputs } from "./sequence-inputs.ts";

/** Tokens of the examples of packed sequences, of which the first row has half and the second the rest. */
const packedTokens = [10, 14] as const;

/** Packed sequences, of another number of tokens in each variant: whatever a program freezes of that number shows. */
export function packedExample(config: BertConfig, rows: number, variant: 0 | 1): Batch {
  const tokens = packedTokens[variant];
  const byRow = exampleBatch(config, { rows, length: 1 }, variant).arrays;
  const example = exampleBatch(config, { rows: 1, length: tokens }, variant);
  const { labels: _labels, weights: _weights, ...byToken } = example.arrays;
  const sequences = Math.min(rows, 2);
  const [starts, ends] = [new Int32Array(rows), new Int32Array(rows)];
  for (let row = 0; row < sequences; row++) {
    starts[row] = (row * tokens) / sequences;
    ends[row] = ((row + 1) * tokens) / sequences;
  }
  const positions = Int32Array.from(
    { length: tokens },
    (_, place) => (place + variant) % config.maxPositions,
  );
  return {
    ...example,
    shapeKey: packedKey,
    arrays: {
      ...byRow,
      ...byToken,
      position_ids: positions,
      [sequenceInputs.starts]: starts,
      [sequenceInputs.ends]: ends,
    },
    samples: sequences,
  };
}

/** An example of a shape; the two variants differ in every input. */
export function exampleBatch(config: BertConfig, shape: BatchShape, variant: 0 | 1): Batch {
  const { rows, length } = shape;
  const size = rows * length;
  const single = config.problemType === "single_label_classification";
  const labelCount = config.labels.length;
  // A row's last token is padding in one variant or the other, if it has more than one.
  const masked = (row: number, place: number) =>
    place > 0 && place === length - 1 && row % 2 === variant;
  const mask = Float32Array.from({ length: size }, (_, i) =>
    masked(Math.floor(i / length), i % length) ? 0 : 1,
  );
  const ids = Int32Array.from(
    { length: size },
    (_, i) => (i * 31 + variant * 17 + 1) % config.vocabSize,
  );
  const types = Int32Array.from({ length: size }, (_, i) => (i + variant) % config.typeVocabSize);
  const labels = single
    ? Int32Array.from({ length: rows }, (_, row) => (row + variant) % labelCount)
    : Float32Array.from({ length: rows * labelCount }, (_, i) => (i + variant) % 2);
  const weights = Float32Array.from({ length: rows }, (_, row) => 1 / (1 + row + variant));
  return {
    shapeKey: String(length),
    arrays: {
      input_ids: ids,
      attention_mask: mask,
      token_type_ids: types,
      labels,
      weights,
    },
    samples: rows,
    tokens: mask.reduce((sum, value) => sum + value, 0),
    paddedTokens: size,
    truncated: 0,
  };
}
