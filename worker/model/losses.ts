/**
 * Losses of a classifier, as sums over rows weighted by the rows' weights, so that they can be added up over microbatches
 * and workers and divided once. Padding rows have weight 0.
 */
import * as tf from "@tensorflow/tfjs";
import type { ProblemType } from "../../foundation/families/family.ts";

/** Logits with what is known of their rows. */
export interface LossInputs {
  /** [batch, labels] */
  readonly logits: tf.Tensor2D;
  /** int32 [batch] for a single label, else float32 [batch, labels]. */
  readonly labels: tf.Tensor;
  /** float32 [batch] */
  readonly weights: tf.Tensor;
}

/**
 * Weighted sum of the loss of all rows: cross entropy, binary cross entropy (mean over labels) or squared error (mean over
 * outputs), as transformers chooses by `problem_type`.
 * @param labelSmoothing share of the target spread over all labels, as Trainer's `label_smoothing_factor`
 */
export function lossSum(
  problemType: ProblemType,
  { logits, labels, weights }: LossInputs,
  labelSmoothing: number,
): tf.Scalar {
  const rows = rowLosses(problemType, logits, { labels, labelSmoothing });
  return tf.sum(tf.mul(rows, weights));
}

function rowLosses(
  problemType: ProblemType,
  logits: tf.Tensor2D,
  { labels, labelSmoothing }: { readonly labels: tf.Tensor; readonly labelSmoothing: number },
): tf.Tensor {
  const [, columns] = logits.shape;
  switch (problemType) {
    case "single_label_classification": {
      const hot = tf.oneHot(labels, columns);
      const targets =
        labelSmoothing === 0
          ? hot
          : tf.add(tf.mul(hot, 1 - labelSmoothing), labelSmoothing / columns);
      return tf.neg(tf.sum(tf.mul(tf.logSoftmax(logits), targets), -1));
    }
    case "multi_label_classification": {
      // max(x, 0) − x·y + log(1 + e^−|x|), which does not overflow.
      const positive = tf.sub(tf.relu(logits), tf.mul(logits, labels));
      const rest = tf.log1p(tf.exp(tf.neg(tf.abs(logits))));
      return tf.mean(tf.add(positive, rest), -1);
    }
    case "regression":
      return tf.mean(tf.square(tf.sub(logits, labels)), -1);
  }
}
