/**
 * The BERT family without TensorFlow: the tensors of transformers' BertForSequenceClassification under its names, and
 * how names of older files and of files without the `bert.` prefix lead there.
 */
import type { TensorSpec } from "../parameters/table.ts";
import type { JsonObject } from "../model-files/json-object.ts";
import { parseBertConfig, type BertConfig } from "./bert-config.ts";
import type { ModelFamily, Placement, ProblemType } from "./family.ts";

const classifierWeight = "classifier.weight";
/** The table that tokens look up. */
export const wordEmbeddings = "bert.embeddings.word_embeddings.weight";

/** Tensors that a file of the bare encoder lacks: they are newly made. */
const headPattern = /^(?:bert\.pooler\.dense|classifier)\.(?:weight|bias)$/;

/** Parts that belong to the model; whatever lies beside them is a head of another task. */
const bodyPattern = /^(?:embeddings|encoder|pooler)\./;

/** BERT with a classification head. */
export const bertFamily: ModelFamily = {
  name: "bert",
  tensors: (config) => bertTensors(parseBertConfig(config)),
  place: placeBertTensor,
  deviationOfNew: (name, config) => {
    if (!headPattern.test(name)) return null;
    return name.endsWith(".bias") ? 0 : parseBertConfig(config).initializerRange;
  },
  labels: (config) => parseBertConfig(config).labels,
  labelTensor: classifierWeight,
  relabel: relabelBertConfig,
  problemType: (config) => parseBertConfig(config).problemType,
  threadsMatter: false,
  lookedUp: [wordEmbeddings],
  textLimits: (config) => {
    const { vocabSize, maxPositions } = parseBertConfig(config);
    return { vocabularySize: vocabSize, maxPositions };
  },
};

/** The tensors of a config, in transformers' order. Weights of dense layers are [out, in]. */
export function bertTensors(config: BertConfig): readonly TensorSpec[] {
  const { hiddenSize: hidden, intermediateSize: inner } = config;
  const specs: TensorSpec[] = [];
  // As transformers' Trainer: no weight decay on biases and on what LayerNorm scales with.
  const add = (name: string, ...shape: number[]) => {
    const decay = !name.endsWith(".bias") && !name.includes("LayerNorm");
    specs.push({ name, shape, kind: "parameter", decay });
  };
  const dense = (name: string, outputs: number, inputs: number) => {
    add(`${name}.weight`, outputs, inputs);
    add(`${name}.bias`, outputs);
  };
  const layerNorm = (name: string) => {
    add(`${name}.weight`, hidden);
    add(`${name}.bias`, hidden);
  };
  add("bert.embeddings.word_embeddings.weight", config.vocabSize, hidden);
  add("bert.embeddings.position_embeddings.weight", config.maxPositions, hidden);
  add("bert.embeddings.token_type_embeddings.weight", config.typeVocabSize, hidden);
  layerNorm("bert.embeddings.LayerNorm");
  for (let index = 0; index < config.layerCount; index += 1) {
    const layer = `bert.encoder.layer.${index}`;
    dense(`${layer}.attention.self.query`, hidden, hidden);
    dense(`${layer}.attention.self.key`, hidden, hidden);
    dense(`${layer}.attention.self.value`, hidden, hidden);
    dense(`${layer}.attention.output.dense`, hidden, hidden);
    layerNorm(`${layer}.attention.output.LayerNorm`);
    dense(`${layer}.intermediate.dense`, inner, hidden);
    dense(`${layer}.output.dense`, hidden, inner);
    layerNorm(`${layer}.output.LayerNorm`);
  }
  dense("bert.pooler.dense", hidden, hidden);
  dense("classifier", config.labels.length, hidden);
  return specs;
}

/** Where a stored tensor belongs. Old names (`LayerNorm.gamma`, `.beta`) become new ones, the prefix may be absent. */
export function placeBertTensor(storedName: string): Placement {
  const name = storedName
    .replace(/LayerNorm\.gamma$/, "LayerNorm.weight")
    .replace(/LayerNorm\.beta$/, "LayerNorm.bias");
  if (name.startsWith("classifier.")) return { kind: "tensor", name };
  const inner = name.startsWith("bert.") ? name.slice("bert.".length) : name;
  if (inner === "embeddings.position_ids" || inner === "embeddings.token_type_ids") {
    return { kind: "ignored" };
  }
  if (bodyPattern.test(inner)) return { kind: "tensor", name: `bert.${inner}` };
  return { kind: "unused", part: `${name.split(".")[0] ?? name}.*` };
}

/** The config of a classifier with these labels, in the fields that transformers writes and reads. */
function relabelBertConfig(
  config: JsonObject,
  labels: readonly string[],
  problemType: ProblemType,
): JsonObject {
  // `num_labels` is the length of id2label; `dtype` is the newer name of torch_dtype; the last names another's folder.
  const replaced = new Set(["num_labels", "dtype", "_name_or_path"]);
  const kept = Object.entries(config).filter(([key]) => !replaced.has(key));
  return {
    ...Object.fromEntries(kept),
    architectures: ["BertForSequenceClassification"],
    id2label: Object.fromEntries(labels.map((label, number) => [String(number), label])),
    label2id: Object.fromEntries(labels.map((label, number) => [label, number])),
    problem_type: problemType,
    torch_dtype: "float32",
  };
}
