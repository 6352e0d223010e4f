/**
 * Dropout masks as a function of (job seed, step, microbatch, site). The host mixes the first three into two words that
 * are fed to the graph (`dropout-seed.ts`); a counter-based generator (Philox, behind TensorFlow's stateless random ops)
 * makes the bits there.
 */
import { createHash } from "node:crypto";
import * as tf from "@tensorflow/tfjs";
import type { TensorFlowBackend } from "./tensorflow-backend.ts";

/** Values of half a random word. */
const halves = 65_536;

/** The word that a site adds: equal names give equal masks. */
function siteWord(site: string): number {
  return createHash("sha256").update(site).digest().readInt32LE(0);
}

/**
 * The seed of a site's masks, int32 of shape [2].
 * @param seed the fed words, int32 of shape [2]
 */
export function siteSeed(seed: tf.Tensor, site: string): tf.Tensor {
  return tf.add(seed, tf.tensor1d([siteWord(site), 0], "int32"));
}

/**
 * Keeps or drops each element of a site: 1/(1−rate) with probability 1−rate (in steps of 2⁻¹⁶), else 0. One random word
 * decides two elements, with its lower half the first and with its upper half the second.
 * @param seed that of `siteSeed`
 */
export function dropoutMask(
  backend: TensorFlowBackend,
  seed: tf.Tensor,
  form: { readonly shape: readonly number[]; readonly rate: number },
): tf.Tensor {
  const { TF_ATTR_TYPE, TF_INT32 } = backend.recorder.real;
  const typed = (name: string, value: number) => ({ name, type: TF_ATTR_TYPE, value });
  const integers = [typed("T", TF_INT32)];
  return tf.tidy(() => {
    const count = form.shape.reduce((product, size) => product * size, 1);
    const words = Math.ceil(count / 2);
    const random = backend.execute(
      "StatelessRandomUniformFullInt",
      [typed("dtype", TF_INT32), typed("T", TF_INT32), typed("Tseed", TF_INT32)],
      [tf.tensor1d([words], "int32"), seed],
    );
    // Each half is compared as the upper half of a word, which saves shifting it down: (w >> 16) ≥ t is w ≥ t · 2¹⁶.
    const lower = backend.execute("LeftShift", integers, [random, tf.scalar(16, "int32")]);
    const dropped = Math.min(Math.round(form.rate * halves), halves - 1);
    const threshold = tf.scalar((dropped - halves / 2) * halves, "int32");
    const kept = tf.cast(
      tf.stack([tf.greaterEqual(lower, threshold), tf.greaterEqual(random, threshold)], 1),
      "float32",
    );
    const scaled = tf.reshape(tf.mul(kept, tf.scalar(1 / (1 - form.rate))), [words * 2]);
    const trimmed = words * 2 === count ? scaled : tf.slice(scaled, 0, count);
    return tf.reshape(trimmed, [...form.shape]);
  });
}
