/** ResNet for small images in tfjs, NHWC. */
import * as tf from "@tensorflow/tfjs";
import {
  cifarResnetTensors,
  layersOf,
  parseCifarResnetConfig,
  type BasicBlock,
  type NormedConvolution,
} from "../../foundation/families/cifar-resnet.ts";
import type { AfterNorm } from "./batch-norm.ts";
import { convolve } from "./convolution.ts";
import { dense, variableOf } from "./gradients.ts";
import { imageClassifier } from "./image-classifier.ts";
import type { Model, ModelOptions, PhaseContext } from "./model.ts";
import type { BatchNorms } from "./running-averages.ts";

/** Where layers find what they need. */
interface Place {
  readonly context: PhaseContext;
  readonly norms: BatchNorms;
  readonly convolutionTable: number;
}

/** Makes the model. Throws BadInput for a config that is not of this family. */
export function createCifarResnet(options: ModelOptions): Model {
  const { convolutionTable } = options;
  const config = parseCifarResnetConfig(JSON.parse(options.configJson));
  const { stem, blocks } = layersOf(config);
  return imageClassifier(
    {
      family: "cifar-resnet",
      config,
      tensors: cifarResnetTensors(config),
      forward: (context, images, norms) => {
        const place = { context, norms, convolutionTable };
        let x = convolveNormed(place, images, stem, { residual: null, relu: true });
        for (const block of blocks) x = basicBlock(place, x, block);
        return dense(context, "fc", tf.mean(x, [1, 2]));
      },
    },
    options,
  );
}

function basicBlock(place: Place, x: tf.Tensor4D, block: BasicBlock): tf.Tensor4D {
  const { first, second, shortcut } = block;
  const inner = convolveNormed(place, x, first, { residual: null, relu: true });
  const residual =
    shortcut === null ? x : convolveNormed(place, x, shortcut, { residual: null, relu: false });
  return convolveNormed(place, inner, second, { residual, relu: true });
}

function convolveNormed(
  { context, norms, convolutionTable }: Place,
  x: tf.Tensor4D,
  { filters, norm, size, stride }: NormedConvolution,
  after: AfterNorm,
): tf.Tensor4D {
  const weights = variableOf(context, filters) as tf.Variable<tf.Rank.R4>;
  const movement = { stride, padding: (size - 1) / 2, convolutionTable };
  const y = convolve(context, x, weights, movement);
  return norms.normalize(y, norm, after);
}
