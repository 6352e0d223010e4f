import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { dealingByRank, layOutGather, packParts, unpackParts } from "../../worker/gather.ts";
import { stepPhases } from "../../worker/job.ts";

const float32 = { dtype: "float32" } as const;
const layout = layOutGather(
  [
    { name: "images", shape: [8, 3], ...float32 },
    { name: "scale", shape: [4], ...float32 },
  ],
  4,
);

/** Arrays of a microbatch that tell where they come from. */
function arraysOf(microbatch: number): Record<string, Float32Array> {
  return {
    images: Float32Array.from({ length: 6 }, (_, i) => microbatch * 100 + i),
    scale: Float32Array.of(-microbatch - 1),
  };
}

describe("gather", () => {
  it("ends in microbatch order, whoever computed what", () => {
    const expected = {
      images: Float32Array.from([0, 1, 2, 3].flatMap((m) => [...arraysOf(m)["images"]!])),
      scale: Float32Array.of(-1, -2, -3, -4),
    };
    for (const dealtTo of [
      [0, 0, 0, 0],
      [0, 1, 0, 1],
      [2, 0, 0, 1],
      [3, 2, 1, 0],
    ]) {
      const dealing = dealingByRank(dealtTo, 5);
      const parts = dealing.map((own) => packParts(own.map(arraysOf), layout));
      assert.deepEqual(unpackParts(parts, dealing, layout), expected);
    }
  });

  it("fills what a short batch lacks with zeros", () => {
    const dealing = dealingByRank([0], 1);
    const { scale, images } = unpackParts([packParts([arraysOf(0)], layout)], dealing, layout);
    assert.deepEqual(scale, Float32Array.of(-1, 0, 0, 0));
    assert.equal(images?.length, 24);
  });

  it("refuses what does not fit", () => {
    assert.throws(() => layOutGather([{ name: "x", shape: [6], ...float32 }], 4), RangeError);
    assert.throws(() => dealingByRank([0, 2], 2), /rank 2 of 2/);
    assert.throws(() => packParts([{ images: new Float32Array(6) }], layout), /scale/);
    assert.throws(
      () => unpackParts([new Float32Array(3)], dealingByRank([0], 1), layout),
      /too short/,
    );
  });
});

describe("stepPhases", () => {
  it("finds what a gather gives from what later phases are fed", () => {
    const images = { name: "images", shape: [8, 3], ...float32 };
    const phases = stepPhases([
      { name: "embed", collective: "gather", gathered: [] },
      { name: "loss", collective: "sum", gathered: [images] },
    ]);
    assert.deepEqual(phases, [
      { name: "embed", collective: "gather", gives: [images] },
      { name: "loss", collective: "sum", gives: [] },
    ]);
  });
});
