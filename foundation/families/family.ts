/**
 * What both programs know of a model family without TensorFlow: which tensors a config makes, what their names were in
 * older files, which of them may be new. The coordinator needs it for the parameter table, the worker for its model.
 */
import { BadInput } from "../bad-input.ts";
import { parseJsonObject, type JsonObject } from "../model-files/json-object.ts";
import type { TensorSpec } from "../parameters/table.ts";
import { bertFamily } from "./bert.ts";
import { cifarResnetFamily } from "./cifar-resnet.ts";
import { tinyConvnetFamily } from "./tiny-convnet.ts";
import { twoTowerFamily } from "./two-tower.ts";

/** What a model's outputs mean; decides the loss. Values as in transformers' `problem_type`. */
export type ProblemType =
  | "single_label_classification"
  | "multi_label_classification"
  | "regression";

/** What becomes of a tensor that a file holds. */
export type Placement =
  | { readonly kind: "tensor"; readonly name: string }
  /** Holds nothing that could be learnt or lost. */
  | { readonly kind: "ignored" }
  /** Belongs to a head of another task, which is reported. */
  | { readonly kind: "unused"; readonly part: string };

/** The limits within which a family reads text. */
export interface TextLimits {
  /** Rows of the word embedding. */
  readonly vocabularySize: number;
  /** Rows of the position embedding: the longest sequence in tokens. */
  readonly maxPositions: number;
}

/** A family. `config` is always the parsed `config.json`, still unchecked; each function throws BadInput for it. */
export interface ModelFamily {
  /** Name, equal to the config's `model_type`. */
  readonly name: string;
  /** Tensors in the order of the parameter table. */
  tensors(config: JsonObject): readonly TensorSpec[];
  /** What becomes of a stored tensor, by its name in the file. */
  place(storedName: string): Placement;
  /** Deviation of the normal distribution that a missing tensor is drawn from (0: zeros), or null where it must be there. */
  deviationOfNew(name: string, config: JsonObject): number | null;
  /** The labels in the order of their numbers. */
  labels(config: JsonObject): readonly string[];
  /** Table name of the tensor whose first dimension is the number of labels, or null when there are no labels. */
  readonly labelTensor: string | null;
  /** The config with these labels and this problem, as `transformers` would write it. */
  relabel(config: JsonObject, labels: readonly string[], problemType: ProblemType): JsonObject;
  /** The problem that the config states or implies. */
  problemType(config: JsonObject): ProblemType;
  /** Whether kernels of it give other bits with another number of threads, which is then part of the job. */
  readonly threadsMatter: boolean;
  /** Tensors that are looked up by token and used in no other way: of their gradients only rows that somebody touched travel. */
  readonly lookedUp: readonly string[];
  /** Limits of the text, or null for a family that reads none. */
  textLimits(config: JsonObject): TextLimits | null;
}

const families: readonly ModelFamily[] = [bertFamily];

/** Families of values, whose data comes from programs and not from files; no message offers them. */
const valuesFamilies: readonly ModelFamily[] = [
  cifarResnetFamily,
  tinyConvnetFamily,
  twoTowerFamily,
];

/** The family of a parsed config, by `model_type`. Throws BadInput naming the file for one that is not known. */
export function familyOfConfig(config: JsonObject, file = "config.json"): ModelFamily {
  const type = config["model_type"];
  const family = [...families, ...valuesFamilies].find((candidate) => candidate.name === type);
  if (family === undefined) {
    throw new BadInput({
      file,
      column: "model_type",
      expected: `one of ${families.map((candidate) => candidate.name).join(", ")}`,
      found: type === undefined ? "none" : JSON.stringify(type),
    });
  }
  return family;
}

/** The family of a `config.json`, by `model_type`. Throws BadInput for one that is not known. */
export function familyOf(configJson: string): ModelFamily {
  return familyOfConfig(parseJsonObject(configJson, "config.json"));
}
