/**
 * What the families share whose records carry float values instead of text. They prove that nothing between trainer and
 * model knows of BERT.
 */
import type { z } from "zod";
import { BadInput } from "../bad-input.ts";
import type { JsonObject } from "../model-files/json-object.ts";
import { drawNormal } from "../model-files/new-tensor.ts";
import { layOutTable, type TensorSpec } from "../parameters/table.ts";
import type { ModelFamily } from "./family.ts";

/** Standard deviation that new weights are drawn with. */
const weightDeviation = 0.3;

/** Checks a config against a family's schema. Throws BadInput naming the first field that is wrong. */
export function parseFamilyConfig<Schema extends z.ZodType>(
  schema: Schema,
  config: unknown,
): z.output<Schema> {
  const parsed = schema.safeParse(config);
  if (parsed.success) return parsed.data;
  const [issue] = parsed.error.issues;
  throw new BadInput({
    file: "config.json",
    ...(issue === undefined ? {} : { column: issue.path.join(".") }),
    expected: issue?.message ?? "a config of this family",
  });
}

/** What such a family says of itself. */
interface ValuesFamily {
  readonly name: string;
  readonly tensors: (config: JsonObject) => readonly TensorSpec[];
  readonly labels: (config: JsonObject) => readonly string[];
  /** See `ModelFamily`. */
  readonly threadsMatter: boolean;
}

/** A family of values. Its stored names are its own, and it reads no text. */
export function valuesFamily({ name, tensors, labels, threadsMatter }: ValuesFamily): ModelFamily {
  return {
    name,
    tensors,
    place: (storedName) => ({ kind: "tensor", name: storedName }),
    deviationOfNew: () => null,
    labels,
    labelTensor: null,
    relabel: (config) => config,
    problemType: () => "single_label_classification",
    threadsMatter,
    lookedUp: [],
    textLimits: () => null,
  };
}

/** First values of such a model in table order: weights drawn, scales and running variances 1, all else 0. */
export function initialState(specs: readonly TensorSpec[], seed: number): Float32Array {
  const table = layOutTable(specs);
  const state = new Float32Array(table.stateSize);
  for (const { name, offset, size } of table.entries) {
    const values = state.subarray(offset, offset + size);
    if (/\.(scale|running_var)$/.test(name)) values.fill(1);
    else if (name.endsWith(".weight")) {
      drawNormal(values, { seed, name, deviation: weightDeviation });
    }
  }
  return state;
}
