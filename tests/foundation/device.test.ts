/** What a device decides, where it decides it: kernels and all that needs them, memory, ops at a time, narrow floats, workers. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadInput } from "../../foundation/bad-input.ts";
import { deviceInUse, type Device } from "../../foundation/device.ts";
import { refuseSlowPrecision } from "../../foundation/job/check-precision.ts";
import { packsSequences } from "../../foundation/job/packs-sequences.ts";
import { engineVariables } from "../../worker/engine-environment.ts";
import { ownProductsHere } from "../../worker/engine/own-products-here.ts";

const bindingOf = (device: Device) => ({ isUsingGpuDevice: () => device === "gpu" });

describe("a device", () => {
  it("is what the loaded TensorFlow computes on", () => {
    for (const device of ["cpu", "gpu"] as const)
      assert.equal(deviceInUse(bindingOf(device)), device);
  });
});

describe("what a device decides", () => {
  it("is whether sequences are packed, where nothing else speaks against it", () => {
    const job = { padding: "none", bucketLengths: [], eager: false } as const;
    assert.equal(packsSequences({ ...job, device: "cpu" }), true);
    assert.equal(packsSequences({ ...job, device: "gpu" }), false);
    assert.equal(packsSequences({ ...job, device: "cpu", eager: true }), false);
    assert.equal(packsSequences({ ...job, device: "cpu", bucketLengths: [32, 64] }), false);
  });

  it("is whether float32 products are ours", () => {
    assert.equal(ownProductsHere("fp32", bindingOf("cpu")), "fp32");
    assert.equal(ownProductsHere("fp32", bindingOf("gpu")), null);
    assert.equal(ownProductsHere("fp16", bindingOf("cpu")), null);
  });

  it("is how many ops run at a time", () => {
    const opsOf = (device: Device, threads: number) =>
      engineVariables({ threads, device, localRank: 0 })["TF_NUM_INTEROP_THREADS"];
    assert.equal(opsOf("cpu", 4), "1");
    assert.equal(opsOf("cpu", 0), "1");
    assert.equal(opsOf("gpu", 4), "4");
    assert.equal(opsOf("gpu", 0), undefined);
  });

  it("is whether narrow floats are refused on a processor that is not made for them", () => {
    const wish = { bf16: false, forceBf16: false, fp16: false, forceFp16: false };
    for (const narrow of [{ bf16: true }, { fp16: true }]) {
      const none = new Set<string>();
      assert.throws(
        () => refuseSlowPrecision({ ...wish, ...narrow, device: "cpu" }, none),
        BadInput,
      );
      refuseSlowPrecision({ ...wish, ...narrow, device: "gpu" }, none);
    }
  });
});
