/** Whether there is a GPU. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  gpusAmong,
  presentGpus,
  refuseMissingGpu,
} from "../../../foundation/host/graphics-cards.ts";

describe("GPUs", () => {
  it("are the device files that NVIDIA's driver makes, and WSL's", () => {
    const names = ["null", "nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm", "nvidia-caps", "dxg"];
    assert.deepEqual(gpusAmong(names), ["nvidia0", "nvidia11", "dxg"]);
    assert.deepEqual(presentGpus("/no/such/folder"), []);
  });

  it("are asked for only where one is", () => {
    refuseMissingGpu("cpu", []);
    refuseMissingGpu("gpu", ["nvidia0"]);
    assert.throws(() => refuseMissingGpu("gpu", []), {
      name: BadInput.name,
      message: /--device: expected cpu, or gpu on a machine with NVIDIA's driver.*nvidia-smi/u,
    });
  });
});
