/** Batches that the programs are recorded with. Two variants differ, so that a value frozen by accident shows. */
import type { BertConfig } from "../../foundation/families/bert-config.ts";
import type { BatchShape } from "./bert-inputs.ts";
import type { Batch } from "./model.ts";

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
