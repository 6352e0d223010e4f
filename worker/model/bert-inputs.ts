/** The inputs of BERT's programs: one place for their names and forms. */
import type { BertConfig } from "../../foundation/families/bert-config.ts";
import type { InputSpec } from "./model.ts";

/** Rows and tokens of a batch. */
export interface BatchShape {
  readonly rows: number;
  readonly length: number;
}

/** Inputs of a batch: tokens and their masks [rows, length], labels and weights by row. */
export function bertInputs(config: BertConfig, { rows, length }: BatchShape): readonly InputSpec[] {
  const single = config.problemType === "single_label_classification";
  return [
    { name: "input_ids", shape: [rows, length], dtype: "int32" },
    { name: "attention_mask", shape: [rows, length], dtype: "float32" },
    { name: "token_type_ids", shape: [rows, length], dtype: "int32" },
    single
      ? { name: "labels", shape: [rows], dtype: "int32" }
      : { name: "labels", shape: [rows, config.labels.length], dtype: "float32" },
    { name: "weights", shape: [rows], dtype: "float32" },
  ];
}
