/** Activation functions by their names in transformers' ACT2FN, with gradients written out where that saves passes. */
import * as tf from "@tensorflow/tfjs";
import type { ActivationName } from "../../foundation/families/bert-config.ts";
import { at, differentiable } from "./differentiable.ts";

/** All but Gelu by erf, which is a block (`geluOfSum`). */
type ComposedActivation = Exclude<ActivationName, "gelu" | "gelu_python">;

type Activation = (x: tf.Tensor2D) => tf.Tensor2D;

const sqrtTwoOverPi = Math.sqrt(2 / Math.PI);
/** Coefficient of x³ in the tanh form of Gelu (Hendrycks and Gimpel, 2016). */
const cubic = 0.044715;

/** x·(1 + tanh(u))/2 with u = √(2/π)·(x + 0.044715·x³). */
function geluTanh(x: tf.Tensor2D): tf.Tensor2D {
  return differentiable(
    [x],
    () => {
      const inner = tf.mul(x, tf.add(tf.mul(tf.square(x), cubic * sqrtTwoOverPi), sqrtTwoOverPi));
      const half = tf.add(tf.mul(tf.tanh(inner), 0.5), 0.5);
      return { value: tf.mul<tf.Tensor2D>(x, half), saved: [x, half] };
    },
    (dy, saved) => {
      const [input, half] = [at(saved, 0), at(saved, 1)];
      // With h = (1 + tanh u)/2: dh/du = 2·h·(1 − h).
      const slope = tf.add(tf.mul(tf.square(input), 6 * cubic * sqrtTwoOverPi), 2 * sqrtTwoOverPi);
      const dHalf = tf.mul(tf.mul(half, tf.sub(1, half)), slope);
      return [tf.mul(dy, tf.add(half, tf.mul(input, dHalf)))];
    },
  );
}

/** x·σ(scale·x). */
function scaledSilu(x: tf.Tensor2D, scale: number): tf.Tensor2D {
  return tf.mul(x, tf.sigmoid(scale === 1 ? x : tf.mul(x, scale)));
}

const activations: Readonly<Record<ComposedActivation, Activation>> = {
  gelu_new: geluTanh,
  gelu_fast: geluTanh,
  gelu_pytorch_tanh: geluTanh,
  gelu_accurate: geluTanh,
  quick_gelu: (x) => scaledSilu(x, 1.702),
  relu: (x) => tf.relu(x),
  relu6: (x) => tf.relu6(x),
  leaky_relu: (x) => tf.leakyRelu(x, 0.01),
  silu: (x) => scaledSilu(x, 1),
  swish: (x) => scaledSilu(x, 1),
  tanh: (x) => tf.tanh(x),
  sigmoid: (x) => tf.sigmoid(x),
  linear: (x) => x,
};

/** The activation of a config's `hidden_act`. */
export function activationOf(name: ComposedActivation): Activation {
  return activations[name];
}
