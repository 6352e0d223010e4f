/** Dealing workers to memory nodes. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { coresOfWorker } from "../../../coordinator/launch/node-share.ts";

const nodes = [
  [0, 1, 2, 3],
  [4, 5, 6, 7],
];

describe("coresOfWorker", () => {
  const dealt = (workers: number, of = nodes) =>
    Array.from({ length: workers }, (_, worker) => coresOfWorker(worker, workers, of));

  it("deals workers to the nodes in equal parts", () => {
    assert.deepEqual(dealt(2), nodes);
    assert.deepEqual(dealt(4), [nodes[0], nodes[0], nodes[1], nodes[1]]);
  });

  it("leaves them free where parts would not be equal, or there is nothing to choose", () => {
    assert.deepEqual(dealt(1), [null]);
    assert.deepEqual(dealt(3), [null, null, null]);
    assert.deepEqual(dealt(2, [[0, 1], [2]]), [null, null]);
    assert.deepEqual(dealt(2, [[0, 1]]), [null, null]);
    assert.deepEqual(dealt(2, []), [null, null]);
  });
});
