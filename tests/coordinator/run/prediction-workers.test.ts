/** Workers of a prediction by default: as many as cores where the work pays for their start and memory holds them. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { workersFor } from "../../../coordinator/run/prediction-workers.ts";

const miniLm = { weightBytes: 90e6, cores: 2, freeBytes: 20e9 };

describe("workersFor", () => {
  it("gives a long file a worker for each core, and a short one a single worker", () => {
    assert.equal(workersFor({ ...miniLm, tokens: 270_000 }), 2);
    assert.equal(workersFor({ ...miniLm, tokens: 2_000 }), 1);
    assert.equal(workersFor({ ...miniLm, tokens: 0 }), 1);
  });

  it("gives one where the end is not known", () => {
    assert.equal(workersFor({ ...miniLm, tokens: null }), 1);
  });

  it("counts a larger model's tokens for more", () => {
    const few = { ...miniLm, tokens: 20_000 };
    assert.equal(workersFor(few), 1);
    assert.equal(workersFor({ ...few, weightBytes: 440e6 }), 2);
  });

  it("starts no more than half of the free memory holds", () => {
    const many = { ...miniLm, cores: 8, tokens: 1e9 };
    assert.equal(workersFor(many), 8);
    assert.equal(workersFor({ ...many, freeBytes: 6e9 }), 3);
    assert.equal(workersFor({ ...many, freeBytes: 1e9 }), 1);
  });

  it("has an upper bound, whatever the machine", () => {
    assert.equal(workersFor({ ...miniLm, cores: 64, freeBytes: 1e12, tokens: 1e9 }), 8);
  });
});
