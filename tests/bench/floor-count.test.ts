/**
 * Goal: the floor counts the matrix products that a result needs, of each sequence's own tokens. Method: steps of known
 * size beside figures worked out by hand, sequences alone and together.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  forwardFlops,
  forwardProducts,
  modelProducts,
  stepFlops,
  trainingFlops,
  type LastLayer,
} from "./support/floor.ts";
import { bertShapes } from "./support/random-bert.ts";

const tiny = bertShapes["tiny"]!;
const minilm = bertShapes["minilm"]!;
const forms: readonly LastLayer[] = ["first-row", "first-row-keys-values", "whole"];

describe("the floor's count", () => {
  it("is what one sequence takes, product by product", () => {
    // tiny: 2 layers of 16 with 2 heads and 32 between; one sequence of 5 tokens.
    const [projections, compared, betweens] = [5 * 16 * 16, 5 * 16 * 5, 5 * 16 * 32];
    const whole = 2 * (4 * projections + 2 * compared + 2 * betweens);
    const one = 2 * (16 * 16);
    const between = 2 * 2 * (16 * 32);
    const pooler = one;
    const counts = {
      "first-row": whole + 4 * one + 2 * 2 * (2 * 16 * 5) + between + pooler,
      "first-row-keys-values":
        whole + 2 * one + 2 * 2 * projections + 2 * 2 * (16 * 5) + between + pooler,
      whole: 2 * whole + pooler,
    };
    for (const last of forms) assert.equal(forwardFlops(tiny, [5], last), counts[last], last);
  });

  it("of a step is that of the table in docs/benchmarks.md", () => {
    const gigaflops = (name: string): readonly string[] =>
      forms.map((last) =>
        (stepFlops(bertShapes[name]!, { rows: 8, tokens: 128 }, last) / 1e9).toFixed(1),
      );
    assert.deepEqual(gigaflops("minilm"), ["57.5", "59.3", "68.9"]);
    assert.deepEqual(gigaflops("bert-base"), ["492.1", "499.2", "536.4"]);
  });

  it("of equal rows is a step's, forward and two gradients", () => {
    for (const last of forms) {
      const batch = Array<number>(8).fill(128);
      const step = stepFlops(minilm, { rows: 8, tokens: 128 }, last);
      assert.equal(trainingFlops(minilm, batch, last), step);
      assert.equal(3 * forwardFlops(minilm, batch, last), step);
    }
  });

  it("of sequences is the sum of each one's, however they are batched, so no padding counts", () => {
    const lengths = [1, 7, 40, 128];
    for (const last of forms) {
      const alone = lengths.map((length) => forwardFlops(minilm, [length], last));
      const sum = alone.reduce((all, one) => all + one, 0);
      assert.equal(forwardFlops(minilm, lengths, last), sum);
      assert.ok(sum < forwardFlops(minilm, [128, 128, 128, 128], last));
    }
  });
});

describe("the products whose rate is measured", () => {
  it("are those of a forward pass, and for training both gradients of each", () => {
    const batch = { rows: 2, tokens: 3 };
    const sizes = forwardProducts(tiny, batch).map(({ m, k, n }) => [m, k, n]);
    assert.deepEqual(sizes, [
      [6, 16, 16],
      [6, 16, 32],
      [6, 32, 16],
    ]);
    const names = modelProducts(tiny, batch).map(({ name }) => name);
    assert.equal(new Set(names).size, 9);
    for (const { name } of forwardProducts(tiny, batch)) assert.ok(names.includes(name), name);
  });
});
