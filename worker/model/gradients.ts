/** Gradients by table name: tfjs gives them by names of its own. */
import * as tf from "@tensorflow/tfjs";
import type { PhaseContext } from "./model.ts";

/**
 * `tf.variableGrads` for everything that trains. With a loss scale the loss is multiplied by it before it is differentiated, and
 * loss and gradients are divided by it after: by a power of two, so that no bit changes but of what left the range of floats.
 */
export function variableGradients(
  { trainable, lossScale: scale }: PhaseContext,
  loss: () => tf.Scalar,
): { readonly value: tf.Scalar; readonly grads: Readonly<Record<string, tf.Tensor>> } {
  if (scale === null) return tf.variableGrads(loss, [...trainable]);
  const { value, grads } = tf.variableGrads(() => tf.mul(loss(), scale), [...trainable]);
  const unscaled = Object.entries(grads).map(([name, gradient]) => [name, tf.div(gradient, scale)]);
  return {
    value: tf.div(value, scale),
    grads: Object.fromEntries(unscaled) as Readonly<Record<string, tf.Tensor>>,
  };
}

/**
 * Differentiates a loss with respect to everything that trains.
 * @param loss weighted sum over the microbatch
 * @returns the loss, and one gradient per trainable variable by table name
 * @throws Error naming a trainable tensor that the loss does not depend on
 */
export function gradientsOf(
  context: PhaseContext,
  loss: () => tf.Scalar,
): { readonly loss: tf.Scalar; readonly gradients: Readonly<Record<string, tf.Tensor>> } {
  const trains = new Set(context.trainable);
  const { value, grads } = variableGradients(context, loss);
  const gradients: Record<string, tf.Tensor> = {};
  for (const [name, variable] of Object.entries(context.variables)) {
    if (!trains.has(variable)) continue;
    const gradient = grads[variable.name];
    if (gradient === undefined) {
      throw new Error(`Cannot train ${name} as the loss does not depend on it: freeze it`);
    }
    gradients[name] = gradient;
  }
  return { loss: value, gradients };
}

/** A variable by table name. Throws where the table lacks it. */
export function variableOf(context: PhaseContext, name: string): tf.Variable {
  const variable = context.variables[name];
  if (variable === undefined) throw new Error(`Cannot find ${name} in the parameter table`);
  return variable;
}

/** An input by name. Throws where it is not fed. */
export function inputOf(context: PhaseContext, name: string): tf.Tensor {
  const input = context.inputs[name];
  if (input === undefined) throw new Error(`Cannot find input ${name}`);
  return input;
}

/** x · weightᵀ + bias, weight being [out, in]. */
export function dense(context: PhaseContext, name: string, x: tf.Tensor): tf.Tensor2D {
  const product = tf.matMul(x, variableOf(context, `${name}.weight`), false, true);
  return tf.add(product, variableOf(context, `${name}.bias`));
}
