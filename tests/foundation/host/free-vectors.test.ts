/** Memory that is freed leaves the process at once, without a collection of garbage. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { freeVectors } from "../../../foundation/host/free-vectors.ts";

const elements = 16 * 2 ** 20;
const bytes = elements * Float32Array.BYTES_PER_ELEMENT;
const patienceMs = 5_000;

describe("freeVectors()", () => {
  it("empties vectors and gives their memory back", async () => {
    const vectors = [new Float32Array(elements).fill(1), new Float32Array(elements).fill(1)];
    const before = process.memoryUsage.rss();
    freeVectors(vectors);
    assert.deepEqual(
      vectors.map(({ length }) => length),
      [0, 0],
    );
    const end = performance.now() + patienceMs;
    while (before - process.memoryUsage.rss() < 1.5 * bytes && performance.now() < end) {
      await sleep(1);
    }
    assert.ok(before - process.memoryUsage.rss() >= 1.5 * bytes, "both vectors' memory");
  });

  it("takes views of one memory, no vectors, and vectors that are empty already", () => {
    const whole = new Float32Array(4).fill(1);
    freeVectors([whole.subarray(0, 2), whole.subarray(2)]);
    assert.equal(whole.length, 0);
    freeVectors([whole]);
    freeVectors([]);
  });

  it("leaves shared memory alone", () => {
    const shared = new Float32Array(new SharedArrayBuffer(16)).fill(1);
    freeVectors([shared]);
    assert.deepEqual([...shared], [1, 1, 1, 1]);
  });
});
