/** Which kernel computes a convolution depends on its shape: every convolution of ResNet-18, and the edges of the rule. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { convolutionForm } from "../../../worker/model/convolution-form.ts";

const shape = { imageSize: 32, filterSize: 3, stride: 1, padding: 1, inputs: 64, outputs: 64 };

describe("convolutionForm", () => {
  it("takes tiles for 3 × 3 filters that keep the image's size", () => {
    for (const [imageSize, channels] of [
      [32, 64],
      [16, 128],
      [8, 256],
      [4, 512],
      [2, 16],
    ] as const) {
      const own = { ...shape, imageSize, inputs: channels, outputs: channels };
      assert.equal(convolutionForm(own), "winograd");
    }
  });

  it("takes the direct form for everything else", () => {
    for (const other of [
      { inputs: 3 },
      { outputs: 15 },
      { stride: 2 },
      { padding: 0 },
      { filterSize: 1, padding: 0 },
      { filterSize: 5, padding: 2 },
      { imageSize: 1 },
    ]) {
      assert.equal(convolutionForm({ ...shape, ...other }), "direct", JSON.stringify(other));
    }
  });
});
