/** Which kernel computes a convolution depends on table and shape: every convolution of ResNet-18, and the edges of the rules. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { convolutionForm, newestConvolutionTable } from "../../foundation/convolution-table.ts";

const shape = { imageSize: 32, filterSize: 3, stride: 1, padding: 1, inputs: 64, outputs: 64 };
const resnet = [
  [32, 64],
  [16, 128],
  [8, 256],
  [4, 512],
  [2, 16],
] as const;

describe("convolution tables", () => {
  it("1: the direct form for every shape", () => {
    for (const [imageSize, channels] of resnet) {
      const own = { ...shape, imageSize, inputs: channels, outputs: channels };
      assert.equal(convolutionForm(1, own), "direct");
    }
  });

  it("2: tiles for 3 × 3 filters that keep the image's size", () => {
    for (const [imageSize, channels] of resnet) {
      const own = { ...shape, imageSize, inputs: channels, outputs: channels };
      assert.equal(convolutionForm(2, own), "winograd");
    }
  });

  it("2: the direct form for everything else", () => {
    for (const other of [
      { inputs: 3 },
      { outputs: 15 },
      { stride: 2 },
      { padding: 0 },
      { filterSize: 1, padding: 0 },
      { filterSize: 5, padding: 2 },
      { imageSize: 1 },
    ]) {
      assert.equal(convolutionForm(2, { ...shape, ...other }), "direct", JSON.stringify(other));
    }
  });

  it("are never changed once shipped, and no others are there", () => {
    // A change of a table changes the bits of runs that go on from their checkpoints: add a version instead.
    assert.equal(newestConvolutionTable, 2);
    for (const version of [0, 3]) {
      assert.throws(() => convolutionForm(version, shape), /there are 2/u);
    }
  });
});
