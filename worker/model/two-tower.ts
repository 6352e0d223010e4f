/**
 * Two encoders and a contrastive loss over the global batch in tfjs, for tests: every left embedding must find its right
 * one among all of the global batch, and the reverse.
 *
 * The first phase gathers the embeddings of all microbatches; the second computes each microbatch's share of the
 * gradient from its own rows and, as constants, everybody's. With S = L·Rᵀ/τ, the loss is
 *   Σᵢ wᵢ·(½·lse_j S_ij + ½·lse_j S_ji − S_ii),
 * and a row lᵢ also stands, as a negative, in the columns of all others: ∂(lse_i S_ij)/∂S_ij = exp(S_ij − lse_i S_ij),
 * which needs nothing of the others but their embeddings. So the microbatches' gradients add up to the whole (the idea
 * of GradCache, Gao et al. 2021), and the same dropout must fall in both phases.
 */
import * as tf from "@tensorflow/tfjs";
import {
  parseTwoTowerConfig,
  towersOf,
  twoTowerTensors,
  twoTowerWidth,
  type TwoTowerConfig,
} from "../../foundation/families/two-tower.ts";
import { exampleValues, valuesShapeKey } from "./collate-values.ts";
import { dense, gradientsOf, inputOf } from "./gradients.ts";
import type { InputSpec, Model, ModelOptions, Phase, PhaseContext, PhaseOutputs } from "./model.ts";

/** Added to the logits of padding rows: their share of any softmax is 0. */
const absent = -1e9;
const lengthFloor = 1e-6;

function inputsOf(config: TwoTowerConfig, rows: number): readonly InputSpec[] {
  return [
    { name: "values", shape: [rows, twoTowerWidth(config)], dtype: "float32" },
    { name: "weights", shape: [rows], dtype: "float32" },
  ];
}

/** Embeddings of length 1 of both halves, [rows, embedding]. */
interface Embeddings {
  readonly left: tf.Tensor2D;
  readonly right: tf.Tensor2D;
}

function embed(config: TwoTowerConfig, context: PhaseContext): Embeddings {
  const values = inputOf(context, "values") as tf.Tensor2D;
  const [rows] = values.shape;
  const [left, right] = towersOf(config).map(({ name, inputs }, index) => {
    const half = tf.slice2d(values, [0, index === 0 ? 0 : config.left_size], [rows, inputs]);
    let hidden: tf.Tensor = tf.tanh(dense(context, `${name}.hidden`, half));
    if (context.training && config.hidden_dropout_prob > 0) {
      const { shape } = hidden;
      const mask = context.dropoutMask(`${name}.hidden`, shape, config.hidden_dropout_prob);
      hidden = tf.mul(hidden, mask);
    }
    const projected = dense(context, `${name}.projection`, hidden);
    const squares = tf.sum(tf.square(projected), 1, true);
    return tf.mul<tf.Tensor2D>(projected, tf.rsqrt(tf.add(squares, lengthFloor)));
  });
  if (left === undefined || right === undefined) throw new Error("Cannot embed without two towers");
  return { left, right };
}

/** a·bᵀ/τ. */
function similarity(config: TwoTowerConfig, a: tf.Tensor2D, b: tf.Tensor2D): tf.Tensor2D {
  return tf.div(tf.matMul(a, b, false, true), config.temperature);
}

/** 0 where a sample counts, far below everything where it is padding. */
function penaltyOf(weights: tf.Tensor): tf.Tensor1D {
  return tf.mul(tf.sub(1, tf.cast(tf.greater(weights, 0), "float32")), absent);
}

const constant = tf.customGrad((x) => {
  if (!(x instanceof tf.Tensor)) throw new Error("Cannot hold anything but a tensor constant");
  return { value: tf.clone(x), gradFunc: () => tf.zerosLike(x) };
});

/** What one side's own rows contribute: to their own terms, and as negatives to the terms of all others. */
function sideTerms(
  config: TwoTowerConfig,
  own: { readonly rows: tf.Tensor2D; readonly weights: tf.Tensor },
  all: { readonly same: tf.Tensor2D; readonly other: tf.Tensor2D; readonly weights: tf.Tensor },
): { readonly ownTerms: tf.Scalar; readonly pull: tf.Scalar } {
  const penalty = penaltyOf(all.weights);
  const logits = similarity(config, own.rows, all.other);
  const ownTerms = tf.mul(tf.logSumExp(tf.add(logits, penalty), 1), own.weights);
  const column = tf.expandDims(penalty, 1);
  const othersSums = tf.logSumExp(tf.add(similarity(config, all.same, all.other), column), 0);
  const counts = tf.expandDims(tf.cast(tf.greater(own.weights, 0), "float32"), 1);
  const shares = tf.mul(tf.mul(tf.exp(tf.sub(logits, othersSums)), all.weights), counts);
  return {
    ownTerms: tf.sum(ownTerms),
    pull: tf.sum(tf.mul(constant(shares), logits)),
  };
}

function contrast(config: TwoTowerConfig, context: PhaseContext): PhaseOutputs {
  const weights = inputOf(context, "weights");
  const everyone = {
    left: inputOf(context, "leftEmbeddings") as tf.Tensor2D,
    right: inputOf(context, "rightEmbeddings") as tf.Tensor2D,
    weights: inputOf(context, "sampleWeights"),
  };
  let kept: tf.Scalar | undefined;
  const { gradients } = gradientsOf(context, () => {
    const { left, right } = embed(config, context);
    const sideOf = (rows: tf.Tensor2D, same: tf.Tensor2D, other: tf.Tensor2D) =>
      sideTerms(config, { rows, weights }, { same, other, weights: everyone.weights });
    const fromLeft = sideOf(left, everyone.left, everyone.right);
    const fromRight = sideOf(right, everyone.right, everyone.left);
    const matches = tf.div(tf.sum(tf.mul(left, right), 1), config.temperature);
    const found = tf.sum(tf.mul(matches, weights));
    const loss = tf.sub(tf.mul(tf.add(fromLeft.ownTerms, fromRight.ownTerms), 0.5), found);
    // The sum that is reported is of the own rows' terms; the pull only shapes the gradient.
    kept = tf.keep(loss.asScalar());
    return tf.add(loss, tf.mul(tf.add(fromLeft.pull, fromRight.pull), 0.5));
  });
  if (kept === undefined) throw new Error("Cannot report a loss that was not computed");
  const loss = tf.clone(kept);
  kept.dispose();
  return { loss, weight: tf.sum(weights), gradients };
}

function phasesOf(config: TwoTowerConfig, options: ModelOptions): readonly Phase[] {
  const rows = options.microbatchSize * options.microbatchesPerStep;
  const embeddings = (name: string): InputSpec => ({
    name,
    shape: [rows, config.embedding_size],
    dtype: "float32",
  });
  return [
    {
      name: "embed",
      collective: "gather",
      gathered: [],
      run: (context) => {
        const { left, right } = embed(config, context);
        return {
          gathered: {
            leftEmbeddings: left,
            rightEmbeddings: right,
            sampleWeights: tf.clone(inputOf(context, "weights")),
          },
        };
      },
    },
    {
      name: "contrast",
      collective: "sum",
      gathered: [
        embeddings("leftEmbeddings"),
        embeddings("rightEmbeddings"),
        { name: "sampleWeights", shape: [rows], dtype: "float32" },
      ],
      run: (context) => contrast(config, context),
    },
  ];
}

/** Logits are the similarities within the microbatch, [rows, rows]; the loss is over the microbatch alone. */
function evaluate(config: TwoTowerConfig, context: PhaseContext) {
  const weights = inputOf(context, "weights");
  const { left, right } = embed(config, context);
  const logits = similarity(config, left, right);
  const penalty = penaltyOf(weights);
  const rows = tf.logSumExp(tf.add(logits, penalty), 1);
  const columns = tf.logSumExp(tf.add(logits, tf.expandDims(penalty, 1)), 0);
  const matches = tf.div(tf.sum(tf.mul(left, right), 1), config.temperature);
  const terms = tf.sub(tf.mul(tf.add(rows, columns), 0.5), matches);
  const loss: tf.Scalar = tf.sum(tf.mul(terms, weights));
  const weight: tf.Scalar = tf.sum(weights);
  return { logits, loss, weight };
}

/** Makes the model. Throws BadInput for a config that is not of this family. */
export function createTwoTower(options: ModelOptions): Model {
  const config = parseTwoTowerConfig(JSON.parse(options.configJson));
  const rowsOf = (use: "train" | "evaluate"): number =>
    use === "train" ? options.microbatchSize : options.evalMicrobatchSize;
  return {
    family: "two-tower",
    tensors: twoTowerTensors(config),
    shapes: (use) => new Map([[valuesShapeKey, inputsOf(config, rowsOf(use))]]),
    phases: () => phasesOf(config, options),
    evaluate: (context) => evaluate(config, context),
    exampleBatch: (_shapeKey, use, variant) =>
      exampleValues(
        { microbatchSize: rowsOf(use), width: twoTowerWidth(config), labels: 0 },
        variant,
      ),
  };
}
