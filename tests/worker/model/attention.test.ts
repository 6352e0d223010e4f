/**
 * Goal: attention's written-out gradient, dropout included, is that of the plain formula, and its form for first rows gives
 * what the form for all rows gives there. Method: both against tfjs's own gradients of the formula, on tfjs's CPU backend.
 */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import * as tf from "@tensorflow/tfjs";
import { attend, attendFirstRow, maskBias } from "../../../worker/model/attention.ts";
import type { BlockContext } from "../../../worker/model/blocks.ts";
import { dense, project } from "../../../worker/model/layers.ts";

const shape = { batch: 2, length: 5, heads: 3, headSize: 4 };
const { batch, length, heads, headSize } = shape;
const features = heads * headSize;
const rows = batch * length;

before(async () => {
  await tf.setBackend("cpu");
});

/** Values from a fixed sequence, in ±1. */
function values(seed: number, ...form: number[]): tf.Tensor {
  const size = form.reduce((product, dimension) => product * dimension, 1);
  const list = Array.from({ length: size }, (_, index) =>
    Math.sin(index * 12.9898 + seed * 78.233),
  );
  return tf.tensor(list, form);
}

/** Zero or two, as dropout of one half has it. */
function dropoutOf(...form: number[]): tf.Tensor {
  return tf.mul(tf.cast(tf.greater(values(9, ...form), 0), "float32"), 2);
}

function mask(): tf.Tensor {
  return tf.tensor2d([1, 1, 1, 1, 1, 1, 1, 1, 0, 0], [batch, length]);
}

/** A context in which this mask falls, whatever the site; blocks are their composed form. */
function contextOf(dropout: tf.Tensor | null): BlockContext {
  return {
    training: dropout !== null,
    dropoutMask: () => dropout ?? tf.ones([1]),
    dropoutSeed: () => tf.zeros([2], "int32"),
    block: (_kernel, _inputs, compose) => compose(),
  };
}

const form = () => ({ shape, mask: maskBias(mask()), dropout: { site: "here", rate: 0.5 } });
const noBias = () => tf.zeros([3 * features]);

function plain(q: tf.Tensor2D, k: tf.Tensor2D, v: tf.Tensor2D, dropout: tf.Tensor | null) {
  const split = (x: tf.Tensor) =>
    tf.transpose(tf.reshape(x, [batch, length, heads, headSize]), [0, 2, 1, 3]);
  const scores = tf.div(tf.matMul(split(q), split(k), false, true), Math.sqrt(headSize));
  const probabilities = tf.softmax(tf.add(scores, maskBias(mask())));
  const kept = dropout === null ? probabilities : tf.mul(probabilities, dropout);
  const context = tf.transpose(tf.matMul(kept, split(v)), [0, 2, 1, 3]);
  return tf.reshape<tf.Rank.R2>(context, [rows, features]);
}

function assertClose(found: tf.Tensor, expected: tf.Tensor): void {
  const distance = tf.max(tf.abs(tf.sub(found, expected))).dataSync()[0]!;
  assert.ok(distance < 1e-5, `differs by ${distance}`);
  assert.ok(tf.max(tf.abs(expected)).dataSync()[0]! > 0.01, "compares more than zeros");
}

describe("attend()", () => {
  for (const dropped of [false, true]) {
    it(`has the value and the gradients of the formula, ${dropped ? "with" : "without"} dropout`, () => {
      const inputs = [1, 2, 3].map((seed) => values(seed, rows, features));
      const dropout = dropped ? dropoutOf(batch, heads, length, length) : null;
      const dy = values(4, rows, features);
      const own = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
        attend(contextOf(dropout), tf.concat([q, k, v], 1) as tf.Tensor2D, noBias(), form());
      const formula = (q: tf.Tensor, k: tf.Tensor, v: tf.Tensor) =>
        plain(q as tf.Tensor2D, k as tf.Tensor2D, v as tf.Tensor2D, dropout);
      assertClose(
        own(inputs[0]!, inputs[1]!, inputs[2]!),
        formula(inputs[0]!, inputs[1]!, inputs[2]!),
      );
      const found = tf.grads(own)(inputs, dy);
      const expected = tf.grads(formula)(inputs, dy);
      for (const [index, gradient] of found.entries()) assertClose(gradient, expected[index]!);
    });
  }
});

describe("attendFirstRow()", () => {
  for (const dropped of [false, true]) {
    it(`equals the first rows of attend(), ${dropped ? "with" : "without"} dropout`, () => {
      const whole = dropped ? dropoutOf(batch, heads, length, length) : null;
      const first =
        whole === null ? null : tf.squeeze(tf.slice(whole, [0, 0, 0, 0], [-1, -1, 1, -1]), [2]);
      const firstRows = (x: tf.Tensor) =>
        tf.reshape<tf.Rank.R2>(
          tf.slice(tf.reshape(x, [batch, length, features]), [0, 0, 0], [-1, 1, -1]),
          [batch, features],
        );
      // Small, lest softmax decide for one token and nothing be left of the gradient.
      const weights = [2, 3, 4].map((seed) => tf.mul(values(seed, features, features), 0.3));
      const biases = [5, 6, 7].map((seed) => values(seed, features));
      const layer = (all: readonly tf.Tensor[], part: number) => ({
        weight: all[1 + part]!,
        bias: all[4 + part]!,
      });
      const inputs = [values(1, rows, features), ...weights, ...biases];
      const own = (...all: tf.Tensor[]) => {
        const x = all[0] as tf.Tensor2D;
        const query = dense(firstRows(x), layer(all, 0));
        const parts = { key: layer(all, 1).weight, value: layer(all, 2) };
        return attendFirstRow(contextOf(first), { query, rows: x }, parts, form());
      };
      const reference = (...all: tf.Tensor[]) => {
        const x = all[0] as tf.Tensor2D;
        const projected = project(
          contextOf(whole),
          x,
          [0, 1, 2].map((part) => layer(all, part).weight),
        );
        const shifts = tf.concat([0, 1, 2].map((part) => layer(all, part).bias));
        return firstRows(attend(contextOf(whole), projected, shifts, form()));
      };
      assertClose(own(...inputs), reference(...inputs));
      const dy = values(8, batch, features);
      // All but the keys' bias, which is not an input of the short form: its gradient is zero.
      const chosen = [0, 1, 2, 3, 4, 6];
      const without =
        (make: typeof own) =>
        (...some: tf.Tensor[]) => {
          const all = [...inputs] as tf.Tensor[];
          for (const [index, place] of chosen.entries()) all[place] = some[index]!;
          return make(...all);
        };
      const arguments_ = chosen.map((place) => inputs[place]!);
      const found = tf.grads(without(own))(arguments_, dy);
      const expected = tf.grads(without(reference))(arguments_, dy);
      for (const [index, gradient] of found.entries()) assertClose(gradient, expected[index]!);
    });
  }
});
