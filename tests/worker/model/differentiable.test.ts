/**
 * Goal: what a gradient needs on the way is let go at once, or recording a model would hold all layers' at the same time.
 * Method: a chain of blocks whose gradients make many tensors; the tensors that are alive when each begins.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { differentiable } from "../../../worker/model/differentiable.ts";

const blocks = 5;
const intermediates = 20;

describe("a block with a gradient of its own", () => {
  it("gives the gradient, and keeps nothing else of its making", async () => {
    await tf.setBackend("cpu");
    const alive: number[] = [];
    const block = (x: tf.Tensor1D): tf.Tensor1D =>
      differentiable(
        [x],
        () => ({ value: tf.mul(x, 2), saved: [] }),
        (dy) => {
          alive.push(tf.memory().numTensors);
          let sum: tf.Tensor = dy;
          for (let i = 0; i < intermediates; i++) sum = tf.add(sum, tf.zerosLike(dy));
          return [tf.mul(sum, 2)];
        },
      );
    const chain = (x: tf.Tensor): tf.Scalar => {
      let value = x as tf.Tensor1D;
      for (let i = 0; i < blocks; i++) value = block(value);
      return tf.sum(value);
    };
    const dx = tf.grad(chain)(tf.tensor1d([1, 2, 3]));
    assert.deepEqual([...dx.dataSync()], [32, 32, 32]);
    assert.equal(alive.length, blocks);
    const growth = (alive.at(-1)! - alive[0]!) / (blocks - 1);
    assert.ok(growth < 4, `${growth} tensors a block, of ${2 * intermediates} that each makes`);
  });
});
