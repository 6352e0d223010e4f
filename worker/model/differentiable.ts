/**
 * Blocks whose gradient is written out, because the written form needs fewer passes over memory than the one that tfjs
 * derives op by op. `tf.customGrad`, typed.
 */
import * as tf from "@tensorflow/tfjs";

/** What a forward function gives: the value, and what its gradient needs. */
export interface Forward<T extends tf.Tensor> {
  readonly value: T;
  readonly saved: tf.Tensor[];
}

/**
 * Runs a block with a gradient of its own.
 * @param inputs tensors that may carry a gradient; others are closed over
 * @param forward makes the value; nothing in it is differentiated
 * @param backward gradients of `inputs`, in their order, from that of the value and what was saved
 */
export function differentiable<T extends tf.Tensor>(
  inputs: readonly tf.Tensor[],
  forward: () => Forward<T>,
  backward: (dy: tf.Tensor, saved: tf.Tensor[]) => tf.Tensor[],
): T {
  const block = tf.customGrad((...parts: (tf.Tensor | tf.GradSaveFunc)[]) => {
    const save = parts.at(-1);
    const { value, saved } = forward();
    if (typeof save === "function") save(saved);
    return {
      value,
      gradFunc: (dy: tf.Tensor | tf.Tensor[], kept: tf.Tensor[]) =>
        // tfjs tidies up after all gradients only: what this one needs on the way would be kept until then.
        tf.tidy(() => backward(Array.isArray(dy) ? at(dy, 0) : dy, kept)),
    };
  });
  return block(...inputs) as T;
}

/** The tensor at an index. Throws RangeError where there is none. */
export function at(tensors: readonly tf.Tensor[], index: number): tf.Tensor {
  const tensor = tensors[index];
  if (tensor === undefined)
    throw new RangeError(`Cannot take tensor ${index} of ${tensors.length}`);
  return tensor;
}
