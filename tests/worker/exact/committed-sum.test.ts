/** The last committed step's sum outlives the next step's reduction. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ExactSum } from "../../../worker/exact/exact-sum.ts";

const never = new AbortController().signal;

describe("the committed step's sum", () => {
  const alone = {
    worldSize: 1,
    sumIntegers: () => Promise.resolve(),
    sumNarrow: () => Promise.resolve(),
    scatterIntegers: () => Promise.resolve(),
    maxBytes: () => Promise.resolve(),
    direct: null,
    carrying: null,
  };

  async function reduce(sum: ExactSum, value: number): Promise<void> {
    sum.begin();
    sum.slot(0).fill(value);
    await sum.addGroup(1, 1, alone, never);
  }

  it("is kept while the next step is reduced, also when that is done again", async () => {
    const sum = new ExactSum([40], 1);
    await reduce(sum, 1);
    assert.equal(sum.committed, null);
    sum.commit(1);
    assert.deepEqual({ step: 1, first: 1 }, { step: sum.committed!.step, first: sum.vector[0] });
    for (const value of [2, 3]) {
      await reduce(sum, value);
      assert.equal(sum.vector[0], value);
      assert.equal(sum.committed!.step, 1);
      assert.deepEqual(
        [...sum.committed!.vector],
        Array.from({ length: 40 }, () => 1),
      );
    }
    sum.commit(2);
    assert.equal(sum.committed!.vector[39], 3);
    await reduce(sum, 0);
    assert.deepEqual(
      [...sum.vector],
      Array.from({ length: 40 }, () => 0),
    );
    assert.equal(sum.committed!.vector[39], 3);
  });

  it("is taken over by a sum with more slots", async () => {
    const sum = new ExactSum([40], 1);
    await reduce(sum, 5);
    sum.commit(7);
    await reduce(sum, 6);
    const larger = new ExactSum([40], 3);
    larger.takeOver(sum);
    await reduce(larger, 8);
    assert.deepEqual([larger.committed!.step, larger.committed!.vector[0]], [7, 5]);
    assert.equal(larger.vector[0], 8);
  });
});
