/** BERT for sequence classification as the engine compiles it: one phase, its gradients summed over the microbatch. */
import * as tf from "@tensorflow/tfjs";
import { bertTensors, wordEmbeddings } from "../../foundation/families/bert.ts";
import { parseBertConfig } from "../../foundation/families/bert-config.ts";
import { packedLength } from "../../foundation/job/packs-sequences.ts";
import { exampleBatch, packedExample } from "./bert-example.ts";
import { bertInputs, packedInputs, packedKey } from "./bert-inputs.ts";
import { bertLogits } from "./bert-network.ts";
import { inputOf, variableGradients } from "./gradients.ts";
import { lossSum } from "./losses.ts";
import type { Model, ModelOptions, Phase, PhaseContext, PhaseOutputs } from "./model.ts";

/** Makes the model of a parsed config. Throws BadInput for a config that is not supported. */
export function createBert(config: unknown, options: ModelOptions): Model {
  const bert = parseBertConfig(config);
  const rows = (use: "train" | "evaluate") =>
    use === "train" ? options.microbatchSize : options.evalMicrobatchSize;
  const loss = (context: PhaseContext, logits: tf.Tensor2D) =>
    lossSum(
      bert.problemType,
      { logits, labels: inputOf(context, "labels"), weights: inputOf(context, "weights") },
      options.labelSmoothing,
    );
  const gradients: Phase = {
    name: "gradients",
    collective: "sum",
    gathered: [],
    run: (context) => gradientSums(context, () => loss(context, bertLogits(bert, context))),
  };
  return {
    family: "bert",
    tensors: bertTensors(bert),
    lookedUp: [
      {
        tensor: wordEmbeddings,
        ids: "input_ids",
        idsMax: packedLength(options.microbatchSize * options.maxLength),
      },
    ],
    shapes: (use) => {
      if (options.packed === true) return new Map([[packedKey, packedInputs(bert, rows(use))]]);
      return new Map(
        options.bucketLengths.map((length) => [
          String(length),
          bertInputs(bert, { rows: rows(use), length }),
        ]),
      );
    },
    phases: () => [gradients],
    evaluate: (context) => {
      const logits = bertLogits(bert, context);
      return { logits, loss: loss(context, logits), weight: weightSum(context) };
    },
    exampleBatch: (shapeKey, use, variant) =>
      shapeKey === packedKey
        ? packedExample(bert, rows(use), variant)
        : exampleBatch(bert, { rows: rows(use), length: lengthOf(shapeKey, options) }, variant),
  };
}

function gradientSums(context: PhaseContext, loss: () => tf.Scalar): PhaseOutputs {
  const forward = (): tf.Scalar => {
    const sum = loss();
    context.backwardFollows();
    return sum;
  };
  const { value, grads } = variableGradients(context, forward);
  const trainable = new Set(context.trainable);
  const gradients: Record<string, tf.Tensor> = {};
  for (const [name, variable] of Object.entries(context.variables)) {
    if (!trainable.has(variable)) continue;
    // What the loss does not depend on (the last layer's key bias) has no gradient on the tape: it is zero.
    gradients[name] = grads[variable.name] ?? tf.zeros(variable.shape);
  }
  return { loss: value, weight: weightSum(context), gradients };
}

function weightSum(context: PhaseContext): tf.Scalar {
  return tf.sum(inputOf(context, "weights"));
}

function lengthOf(shapeKey: string, { bucketLengths }: ModelOptions): number {
  const length = Number(shapeKey);
  if (!bucketLengths.includes(length)) {
    throw new RangeError(
      `Cannot make an example of length ${shapeKey}: buckets are ${bucketLengths.join(", ")}`,
    );
  }
  return length;
}
