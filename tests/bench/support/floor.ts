/**
 * The floor of a training step: the floating point operations of the matrix products that its result needs. A product of
 * [m × k] and [k × n] takes 2·m·k·n of them; its two gradients take as many again, each.
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

function wholeLayer({ hidden, intermediate }: BertShape, { rows, tokens }: BatchShape): number {
  const all = rows * tokens;
  const projections = 4 * productFlops({ m: all, k: hidden, n: hidden });
  // Scores and context, over all heads together.
  const attention = 2 * rows * productFlops({ m: tokens, k: hidden, n: tokens });
  const feedForward = 2 * productFlops({ m: all, k: hidden, n: intermediate });
  return projections + attention + feedForward;
}

function firstRowLayer(
  { hidden, heads, intermediate }: BertShape,
  { rows, tokens }: BatchShape,
  withKeysValues: boolean,
): number {
  const square = productFlops({ m: rows, k: hidden, n: hidden });
  const feedForward = 2 * productFlops({ m: rows, k: hidden, n: intermediate });
  if (withKeysValues) {
    const keysValues = 2 * productFlops({ m: rows * tokens, k: hidden, n: hidden });
    return (
      2 * square +
      keysValues +
      2 * rows * productFlops({ m: 1, k: hidden, n: tokens }) +
      feedForward
    );
  }
  // Query, its view from the input, the mixed rows' values, the output projection; scores and mixing per head.
  const perHead = 2 * rows * productFlops({ m: heads, k: hidden, n: tokens });
  return 4 * square + perHead + feedForward;
}

/** Operations of a step's matrix products, forward and backward. */
export function stepFlops(shape: BertShape, batch: BatchShape, last: LastLayer): number {
  const layers = (shape.layers - 1) * wholeLayer(shape, batch);
  const lastLayer =
    last === "whole"
      ? wholeLayer(shape, batch)
      : firstRowLayer(shape, batch, last === "first-row-keys-values");
  const pooler = productFlops({ m: batch.rows, k: shape.hidden, n: shape.hidden });
  return 3 * (layers + lastLayer + pooler);
}

/** The products that make up nearly all of a step: forward, gradient of the input, gradient of the weight. */
export function modelProducts(shape: BertShape, { rows, tokens }: BatchShape): readonly Product[] {
  const all = rows * tokens;
  const { hidden, intermediate } = shape;
  const plain = { transposeA: false, transposeB: false };
  const ofLayer = (name: string, from: number, to: number): readonly Product[] => [
    { name: `${name}, forward`, m: all, k: from, n: to, ...plain },
    { name: `${name}, input's gradient`, m: all, k: to, n: from, ...plain, transposeB: true },
    { name: `${name}, weight's gradient`, m: from, k: all, n: to, ...plain, transposeA: true },
  ];
  return [
    ...ofLayer("hidden → hidden", hidden, hidden),
    ...ofLayer("hidden → intermediate", hidden, intermediate),
    ...ofLayer("intermediate → hidden", intermediate, hidden),
  ];
}
