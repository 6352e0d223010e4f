/**
 * The batch normalisations of one run of a model: the microbatch's statistics while training, whose running averages are
 * collected as buffers and change at the commit only, and the running averages themselves while evaluating.
 */
import * as tf from "@tensorflow/tfjs";
import type { BatchNormNames } from "../../foundation/families/image-config.ts";
import { batchNorm, countOf, normByKnown, type AfterNorm } from "./batch-norm.ts";
import { inputOf, variableOf } from "./gradients.ts";
import type { PhaseContext } from "./model.ts";

/** Settings of all normalisations of a model. */
export interface NormSettings {
  readonly batch_norm_momentum: number;
  readonly batch_norm_eps: number;
}

/** Normalises, and collects the new running averages of one microbatch, weighted by its samples. */
export class BatchNorms {
  readonly #settings: NormSettings;
  readonly #context: PhaseContext;
  readonly #kept: Record<string, tf.Tensor> = {};

  constructor(settings: NormSettings, context: PhaseContext) {
    this.#settings = settings;
    this.#context = context;
  }

  /** x, [rows, height, width, channels], normalised by the tensors of these names. */
  normalize(x: tf.Tensor4D, names: BatchNormNames, after: AfterNorm): tf.Tensor4D {
    const context = this.#context;
    const weights = {
      scale: variableOf(context, names.scale),
      bias: variableOf(context, names.bias),
      epsilon: this.#settings.batch_norm_eps,
    };
    if (!context.training) {
      const mean = variableOf(context, names.mean);
      const variance = variableOf(context, names.variance);
      return normByKnown(x, { mean, variance }, weights, after);
    }
    const rowWeights = inputOf(context, "weights");
    return batchNorm(context, x, rowWeights, {
      weights,
      after,
      take: ({ mean, variance }) => {
        const count = countOf(x, rowWeights);
        // As PyTorch: the running variance takes the unbiased one.
        const unbiased = tf.mul(variance, tf.div(count, tf.maximum(tf.sub(count, 1), 1)));
        this.#average(names.mean, mean);
        this.#average(names.variance, unbiased);
      },
    });
  }

  /** The sums that were collected, by table name, in scopes of the caller's from now on. */
  release(): Record<string, tf.Tensor> {
    return Object.fromEntries(
      Object.entries(this.#kept).map(([name, kept]) => {
        const sums = tf.clone(kept);
        kept.dispose();
        return [name, sums];
      }),
    );
  }

  #average(name: string, fresh: tf.Tensor): void {
    const share = this.#settings.batch_norm_momentum;
    const old = variableOf(this.#context, name);
    const weight = tf.sum(inputOf(this.#context, "weights"));
    const average = tf.add(tf.mul(old, 1 - share), tf.mul(fresh, share));
    // Kept, because the gradient's scope would take it away.
    this.#kept[name] = tf.keep(tf.mul(average, weight));
  }
}
