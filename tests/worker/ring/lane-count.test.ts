import assert from "node:assert/strict";
import { it } from "node:test";
import { laneCount } from "../../../worker/ring/lane-count.ts";

it("a worker has no lane where cores are few, and never more than keep its main thread busy", () => {
  assert.deepEqual([0, 1, 2, 3, 4, 7, 8, 16, 128].map(laneCount), [0, 0, 0, 0, 1, 1, 2, 2, 2]);
});
