/** What image classifiers share: their inputs, their loss, their one phase, their example batches. */
import * as tf from "@tensorflow/tfjs";
import { imageWidth, type ImageForm } from "../../foundation/families/image-config.ts";
import type { TensorSpec } from "../../foundation/parameters/table.ts";
import { exampleValues, valuesShapeKey } from "./collate-values.ts";
import { gradientsOf, inputOf } from "./gradients.ts";
import { lossSum } from "./losses.ts";
import type { InputSpec, Model, ModelOptions, PhaseContext, PhaseOutputs } from "./model.ts";
import { BatchNorms, type NormSettings } from "./running-averages.ts";

/** What makes one classifier differ from another. */
export interface ImageClassifier {
  readonly family: string;
  readonly config: ImageForm & NormSettings & { readonly num_labels: number };
  readonly tensors: readonly TensorSpec[];
  /** Logits, [rows, labels], of images, [rows, size, size, channels]. */
  forward(context: PhaseContext, images: tf.Tensor4D, norms: BatchNorms): tf.Tensor2D;
}

/** The model of a classifier. */
export function imageClassifier(classifier: ImageClassifier, options: ModelOptions): Model {
  const { family, config, tensors } = classifier;
  const rowsOf = (use: "train" | "evaluate"): number =>
    use === "train" ? options.microbatchSize : options.evalMicrobatchSize;
  const logitsOf = (context: PhaseContext, norms: BatchNorms): tf.Tensor2D =>
    classifier.forward(context, imagesOf(context, config), norms);
  const lossOf = (context: PhaseContext, logits: tf.Tensor2D): tf.Scalar =>
    lossSum(
      "single_label_classification",
      { logits, labels: inputOf(context, "labels"), weights: inputOf(context, "weights") },
      options.labelSmoothing,
    );
  const weightOf = (context: PhaseContext): tf.Scalar => tf.sum(inputOf(context, "weights"));
  const train = (context: PhaseContext): PhaseOutputs => {
    const norms = new BatchNorms(config, context);
    const { loss, gradients } = gradientsOf(context, () =>
      lossOf(context, logitsOf(context, norms)),
    );
    return { loss, weight: weightOf(context), gradients, buffers: norms.release() };
  };
  return {
    family,
    tensors,
    shapes: (use) => new Map([[valuesShapeKey, inputsOf(config, rowsOf(use))]]),
    phases: () => [{ name: "gradients", collective: "sum", gathered: [], run: train }],
    evaluate: (context) => {
      const logits = logitsOf(context, new BatchNorms(config, context));
      return { logits, loss: lossOf(context, logits), weight: weightOf(context) };
    },
    exampleBatch: (_shapeKey, use, variant) =>
      exampleValues(
        { microbatchSize: rowsOf(use), width: imageWidth(config), labels: config.num_labels },
        variant,
      ),
  };
}

function inputsOf(form: ImageForm, rows: number): readonly InputSpec[] {
  return [
    { name: "values", shape: [rows, imageWidth(form)], dtype: "float32" },
    { name: "weights", shape: [rows], dtype: "float32" },
    { name: "labels", shape: [rows], dtype: "int32" },
  ];
}

function imagesOf(context: PhaseContext, { image_size: size, channels }: ImageForm): tf.Tensor4D {
  const values = inputOf(context, "values");
  return tf.reshape(values, [values.shape[0] ?? 0, size, size, channels]);
}
