/** The inputs of BERT's programs: one place for their names and forms. */
import type { BertConfig } from "../../foundation/families/bert-config.ts";
import { anyLength } from "./input-shape.ts";
import type { InputSpec } from "./model.ts";
import { sequenceInputs } from "./sequence-inputs.ts";

/** Rows and tokens of a batch. */
export interface BatchShape {
  readonly rows: number;
  readonly length: number;
}

/** Key of the shape without padding: as many tokens as there are. */
export const packedKey = "packed";

/** Inputs of a batch: tokens and their masks [rows, length], labels and weights by row. */
export function bertInputs(config: BertConfig, { rows, length }: BatchShape): readonly InputSpec[] {
  return [
    { name: "input_ids", shape: [rows, length], dtype: "int32" },
    { name: "attention_mask", shape: [rows, length], dtype: "float32" },
    { name: "token_type_ids", shape: [rows, length], dtype: "int32" },
    ...labelInputs(config, rows),
  ];
}

/**
 * Inputs of a batch whose sequences lie one behind the other: tokens, their positions and types, [tokens]; the first token of
 * each sequence and the one after its last, labels and weights by row. Rows without a sequence have 0 for both.
 */
export function packedInputs(config: BertConfig, rows: number): readonly InputSpec[] {
  return [
    { name: "input_ids", shape: [anyLength], dtype: "int32" },
    { name: "position_ids", shape: [anyLength], dtype: "int32" },
    { name: "token_type_ids", shape: [anyLength], dtype: "int32" },
    { name: sequenceInputs.starts, shape: [rows], dtype: "int32" },
    { name: sequenceInputs.ends, shape: [rows], dtype: "int32" },
    ...labelInputs(config, rows),
  ];
}

function labelInputs({ problemType, labels }: BertConfig, rows: number): readonly InputSpec[] {
  return [
    problemType === "single_label_classification"
      ? { name: "labels", shape: [rows], dtype: "int32" }
      : { name: "labels", shape: [rows, labels.length], dtype: "float32" },
    { name: "weights", shape: [rows], dtype: "float32" },
  ];
}
