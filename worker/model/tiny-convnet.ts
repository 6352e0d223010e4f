/**
 * A small convolutional classifier in tfjs, for tests: batch normalisation by the microbatch's own statistics, in which
 * padding samples do not count, and running averages that are summed over microbatches like gradients.
 */
import * as tf from "@tensorflow/tfjs";
import {
  convolutionsOf,
  parseTinyConvnetConfig,
  tinyConvnetTensors,
} from "../../foundation/families/tiny-convnet.ts";
import { convolve } from "./convolution.ts";
import { dense, variableOf } from "./gradients.ts";
import { imageClassifier } from "./image-classifier.ts";
import type { Model, ModelOptions } from "./model.ts";

/** Makes the model. Throws BadInput for a config that is not of this family. */
export function createTinyConvnet(options: ModelOptions): Model {
  const { convolutionTable } = options;
  const config = parseTinyConvnetConfig(JSON.parse(options.configJson));
  return imageClassifier(
    {
      family: "tiny-convnet",
      config,
      tensors: tinyConvnetTensors(config),
      forward: (context, images, norms) => {
        let x = images;
        for (const { name, norm, stride } of convolutionsOf(config)) {
          const filters = variableOf(context, `${name}.weight`) as tf.Variable<tf.Rank.R4>;
          const y = convolve(context, x, filters, { stride, padding: 1, convolutionTable });
          x = config.batch_norm
            ? norms.normalize(y, norm, { residual: null, relu: true })
            : tf.relu(tf.add(y, variableOf(context, `${name}.bias`)));
        }
        return dense(context, "head", tf.mean(x, [1, 2]));
      },
    },
    options,
  );
}
