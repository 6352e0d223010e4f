/**
 * A small convolutional classifier in tfjs, for tests: batch normalisation by the microbatch's own statistics, in which
 * padding samples do not count, and running averages that are summed over microbatches like gradients.
 */
import * as tf from "@tensorflow/tfjs";
import {
  convolutionsOf,
  parseTinyConvnetConfig,
  tinyConvnetTensors,
  tinyConvnetWidth,
  type TinyConvnetConfig,
} from "../../foundation/families/tiny-convnet.ts";
import { exampleValues, valuesShapeKey } from "./collate-values.ts";
import { dense, gradientsOf, inputOf, variableOf } from "./gradients.ts";
import type { InputSpec, Model, ModelOptions, PhaseContext, PhaseOutputs } from "./model.ts";

function inputsOf(config: TinyConvnetConfig, rows: number): readonly InputSpec[] {
  return [
    { name: "values", shape: [rows, tinyConvnetWidth(config)], dtype: "float32" },
    { name: "weights", shape: [rows], dtype: "float32" },
    { name: "labels", shape: [rows], dtype: "int32" },
  ];
}

/** Mean and variance of each channel over the samples that count; both have shape [channels]. */
interface Statistics {
  readonly mean: tf.Tensor1D;
  readonly variance: tf.Tensor1D;
  /** Values per channel that count. */
  readonly count: tf.Scalar;
}

/** @param x [rows, height, width, channels] */
function weightedStatistics(x: tf.Tensor4D, weights: tf.Tensor): Statistics {
  const [rows, height, width] = x.shape;
  const rowWeights = tf.reshape(weights, [rows, 1, 1, 1]);
  const count = tf.maximum(tf.mul(tf.sum(weights), height * width), 1).asScalar();
  const mean = tf.div<tf.Tensor1D>(tf.sum(tf.mul(x, rowWeights), [0, 1, 2]), count);
  const squares = tf.mul(tf.square(tf.sub(x, mean)), rowWeights);
  return { mean, variance: tf.div<tf.Tensor1D>(tf.sum(squares, [0, 1, 2]), count), count };
}

/** Collects the new running averages of one microbatch, weighted by its samples. */
class RunningAverages {
  readonly #config: TinyConvnetConfig;
  readonly #kept: Record<string, tf.Tensor> = {};

  constructor(config: TinyConvnetConfig) {
    this.#config = config;
  }

  /** As PyTorch: the running variance takes the unbiased one. */
  take(context: PhaseContext, norm: string, statistics: Statistics): void {
    const { mean, variance, count } = statistics;
    const unbiased = tf.mul(variance, tf.div(count, tf.maximum(tf.sub(count, 1), 1)));
    this.#average(context, `${norm}.running_mean`, mean);
    this.#average(context, `${norm}.running_var`, unbiased);
  }

  #average(context: PhaseContext, name: string, fresh: tf.Tensor): void {
    const share = this.#config.batch_norm_momentum;
    const old = variableOf(context, name);
    const weight = tf.sum(inputOf(context, "weights"));
    const average = tf.add(tf.mul(old, 1 - share), tf.mul(fresh, share));
    // Kept, because the gradient's scope would take it away.
    this.#kept[name] = tf.keep(tf.mul(average, weight));
  }

  /** The sums, in scopes of the caller's from now on. */
  release(): Record<string, tf.Tensor> {
    return Object.fromEntries(
      Object.entries(this.#kept).map(([name, kept]) => {
        const sums = tf.clone(kept);
        kept.dispose();
        return [name, sums];
      }),
    );
  }
}

function normalize(
  config: TinyConvnetConfig,
  context: PhaseContext,
  norm: string,
  into: { readonly x: tf.Tensor4D; readonly averages: RunningAverages | null },
): tf.Tensor4D {
  const { x, averages } = into;
  const statistics = context.training
    ? weightedStatistics(x, inputOf(context, "weights"))
    : {
        mean: variableOf(context, `${norm}.running_mean`),
        variance: variableOf(context, `${norm}.running_var`),
        count: tf.scalar(1),
      };
  if (context.training) averages?.take(context, norm, statistics as Statistics);
  const deviation = tf.sqrt(tf.add(statistics.variance, config.batch_norm_eps));
  const normed = tf.div(tf.sub(x, statistics.mean), deviation);
  const scaled = tf.mul(normed, variableOf(context, `${norm}.scale`));
  return tf.add(scaled, variableOf(context, `${norm}.bias`));
}

/** Logits, [rows, labels]. @param averages takes the statistics in; null while evaluating */
function forward(
  config: TinyConvnetConfig,
  context: PhaseContext,
  averages: RunningAverages | null,
): tf.Tensor2D {
  const { image_size: size, channels } = config;
  const values = inputOf(context, "values");
  const rows = values.shape[0] ?? 0;
  let x: tf.Tensor4D = tf.reshape(values, [rows, size, size, channels]);
  for (const { name, norm, stride } of convolutionsOf(config)) {
    const filters = variableOf(context, `${name}.weight`) as tf.Variable<tf.Rank.R4>;
    x = tf.conv2d(x, filters, stride, "same");
    x = config.batch_norm
      ? normalize(config, context, norm, { x, averages })
      : tf.add(x, variableOf(context, `${name}.bias`));
    x = tf.relu(x);
  }
  return dense(context, "head", tf.mean(x, [1, 2]));
}

/** Sum of the cross-entropies of the samples that count. */
function lossOf(config: TinyConvnetConfig, context: PhaseContext, logits: tf.Tensor2D): tf.Scalar {
  const target = tf.oneHot(tf.cast(inputOf(context, "labels"), "int32"), config.num_labels);
  const likelihood = tf.sum(tf.mul(tf.logSoftmax(logits), target), -1);
  return tf.neg(tf.sum(tf.mul(likelihood, inputOf(context, "weights"))));
}

function trainingPhase(config: TinyConvnetConfig, context: PhaseContext): PhaseOutputs {
  const averages = config.batch_norm ? new RunningAverages(config) : null;
  const { loss, gradients } = gradientsOf(context, () =>
    lossOf(config, context, forward(config, context, averages)),
  );
  return {
    loss,
    weight: tf.sum(inputOf(context, "weights")),
    gradients,
    buffers: averages?.release() ?? {},
  };
}

/** Makes the model. Throws BadInput for a config that is not of this family. */
export function createTinyConvnet(options: ModelOptions): Model {
  const config = parseTinyConvnetConfig(JSON.parse(options.configJson));
  const rowsOf = (use: "train" | "evaluate"): number =>
    use === "train" ? options.microbatchSize : options.evalMicrobatchSize;
  return {
    family: "tiny-convnet",
    tensors: tinyConvnetTensors(config),
    shapes: (use) => new Map([[valuesShapeKey, inputsOf(config, rowsOf(use))]]),
    phases: () => [
      {
        name: "gradients",
        collective: "sum",
        gathered: [],
        run: (context) => trainingPhase(config, context),
      },
    ],
    evaluate: (context) => {
      const logits = forward(config, context, null);
      const weight: tf.Scalar = tf.sum(inputOf(context, "weights"));
      return { logits, loss: lossOf(config, context, logits), weight };
    },
    exampleBatch: (_shapeKey, use, variant) =>
      exampleValues(
        {
          microbatchSize: rowsOf(use),
          width: tinyConvnetWidth(config),
          labels: config.num_labels,
        },
        variant,
      ),
  };
}
