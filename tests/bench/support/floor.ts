/**
 * The floor of a training step: the floating point operations of the matrix products that its result needs. A product of
 * [m × k] and [k × n] takes 2·m·k·n of them; its two gradients take as many again, each. Padding is not needed: of
 * sequences of several lengths the tokens of each count, and what attention compares is each sequence with itself.
 *
 * A classifier reads the first row of the last hidden state only, so the last layer needs its output projection and its
 * feed-forward for one row a sequence. Keys and values are then not needed either, where products are taken in another
 * order (q·(W x) = (Wᵀq)·x): `first-row` counts that; `first-row-keys-values` counts both made whole; `whole` all rows.
 */
import type { BertShape } from "./random-bert.ts";

/** How much of the last layer is counted. */
export type LastLayer = "first-row" | "first-row-keys-values" | "whole";

/** Rows and tokens of a batch. */
export interface BatchShape {
  readonly rows: number;
  readonly tokens: number;
}

/** A matrix product as it is measured: [m × k] by [k × n], either stored transposed. */
export interface Product {
  readonly name: string;
  readonly m: number;
  readonly k: number;
  readonly n: number;
  readonly transposeA: boolean;
  readonly transposeB: boolean;
}

/** Operations of a product. */
export function productFlops({ m, k, n }: { m: number; k: number; n: number }): number {
  return 2 * m * k * n;
}

/** What the products of some sequences depend on. */
interface Sequences {
  readonly rows: number;
  /** Of all of them together. */
  readonly tokens: number;
  /** The sum of each one's tokens, squared: pairs that attention compares. */
  readonly pairs: number;
}

function wholeLayer({ hidden, intermediate }: BertShape, { tokens, pairs }: Sequences): number {
  const projections = 4 * productFlops({ m: tokens, k: hidden, n: hidden });
  // Scores and context, over all heads together.
  const attention = 2 * productFlops({ m: 1, k: hidden, n: pairs });
  const feedForward = 2 * productFlops({ m: tokens, k: hidden, n: intermediate });
  return projections + attention + feedForward;
}

function firstRowLayer(
  { hidden, heads, intermediate }: BertShape,
  { rows, tokens }: Sequences,
  withKeysValues: boolean,
): number {
  const square = productFlops({ m: rows, k: hidden, n: hidden });
  const feedForward = 2 * productFlops({ m: rows, k: hidden, n: intermediate });
  if (withKeysValues) {
    const keysValues = 2 * productFlops({ m: tokens, k: hidden, n: hidden });
    return 2 * square + keysValues + 2 * productFlops({ m: 1, k: hidden, n: tokens }) + feedForward;
  }
  // Query, its view from the input, the mixed rows' values, the output projection; scores and mixing per head.
  const perHead = 2 * productFlops({ m: heads, k: hidden, n: tokens });
  return 4 * square + perHead + feedForward;
}

/** Operations of a forward pass's matrix products. @param lengths tokens of each sequence, without padding */
export function forwardFlops(
  shape: BertShape,
  lengths: readonly number[],
  last: LastLayer,
): number {
  const rows = lengths.length;
  const tokens = lengths.reduce((sum, length) => sum + length, 0);
  const pairs = lengths.reduce((sum, length) => sum + length ** 2, 0);
  const sequences = { rows, tokens, pairs };
  const layers = (shape.layers - 1) * wholeLayer(shape, sequences);
  const lastLayer =
    last === "whole"
      ? wholeLayer(shape, sequences)
      : firstRowLayer(shape, sequences, last === "first-row-keys-values");
  const pooler = productFlops({ m: rows, k: shape.hidden, n: shape.hidden });
  return layers + lastLayer + pooler;
}

/** Operations of matrix products of training on sequences once, forward and backward, however they are batched. */
export function trainingFlops(
  shape: BertShape,
  lengths: readonly number[],
  last: LastLayer,
): number {
  return 3 * forwardFlops(shape, lengths, last);
}

/** Those of a step on rows of one length. */
export function stepFlops(shape: BertShape, { rows, tokens }: BatchShape, last: LastLayer): number {
  return trainingFlops(shape, Array<number>(rows).fill(tokens), last);
}

const plain = { transposeA: false, transposeB: false };

/** The weights of a layer, by what they lead from and to. */
function weightsOf({ hidden, intermediate }: BertShape) {
  return [
    { name: "hidden → hidden", from: hidden, to: hidden },
    { name: "hidden → intermediate", from: hidden, to: intermediate },
    { name: "intermediate → hidden", from: intermediate, to: hidden },
  ] as const;
}

/** The products that make up nearly all of a forward pass. */
export function forwardProducts(
  shape: BertShape,
  { rows, tokens }: BatchShape,
): readonly Product[] {
  const all = rows * tokens;
  return weightsOf(shape).map(({ name, from, to }) => ({
    name: `${name}, forward`,
    m: all,
    k: from,
    n: to,
    ...plain,
  }));
}

/** The products that make up nearly all of a step: forward, gradient of the input, gradient of the weight. */
export function modelProducts(shape: BertShape, batch: BatchShape): readonly Product[] {
  const all = batch.rows * batch.tokens;
  const gradients = weightsOf(shape).flatMap(({ name, from, to }) => [
    { name: `${name}, input's gradient`, m: all, k: to, n: from, ...plain, transposeB: true },
    { name: `${name}, weight's gradient`, m: from, k: all, n: to, ...plain, transposeA: true },
  ]);
  return [...forwardProducts(shape, batch), ...gradients];
}
