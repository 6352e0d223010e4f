/** What is decided about GPUs: whether there are enough, which one a worker takes, what its library is told. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import {
  describeGpus,
  gpuOf,
  gpusAmong,
  gpuVariables,
  presentGpus,
  refuseMissingGpus,
  refuseUnusedGpu,
} from "../../../foundation/host/graphics-cards.ts";
import { engineVariables, setEngineEnvironment } from "../../../worker/engine-environment.ts";

const visibleDevices = undefined;

describe("GPUs", () => {
  it("are the device files that NVIDIA's driver makes, and WSL's", () => {
    const names = ["null", "nvidia0", "nvidia11", "nvidiactl", "nvidia-uvm", "nvidia-caps", "dxg"];
    assert.deepEqual(gpusAmong(names), ["nvidia0", "nvidia11", "dxg"]);
    assert.deepEqual(presentGpus("/no/such/folder"), []);
  });

  it("are asked for only where one is", () => {
    refuseMissingGpus("cpu", 8, { present: [], visibleDevices });
    refuseMissingGpus("gpu", 1, { present: ["nvidia0"], visibleDevices });
    assert.throws(() => refuseMissingGpus("gpu", 1, { present: [], visibleDevices }), {
      name: BadInput.name,
      message: /--device: expected cpu, or gpu on a machine with NVIDIA's driver.*nvidia-smi/u,
    });
  });

  it("are one for each worker of a machine", () => {
    const present = ["nvidia0", "nvidia1", "nvidia2"];
    refuseMissingGpus("gpu", 3, { present, visibleDevices });
    refuseMissingGpus("gpu", 3, { present: ["dxg"], visibleDevices });
    assert.throws(() => refuseMissingGpus("gpu", 4, { present, visibleDevices }), {
      message: /--workers: expected at most 3 on this machine.*found 4.*--no-spawn-workers/u,
    });
    refuseMissingGpus("gpu", 2, { present, visibleDevices: "0, 2" });
    for (const [workers, chosen] of [
      [3, "0,2"],
      [1, ""],
    ] as const) {
      assert.throws(
        () => refuseMissingGpus("gpu", workers, { present, visibleDevices: chosen }),
        new RegExp(`CUDA_VISIBLE_DEVICES=${chosen}\\)`, "u"),
      );
    }
  });

  it("are taken by place, among those that may be used", () => {
    assert.deepEqual(
      [0, 1, 2].map((rank) => gpuOf(rank, undefined)),
      ["0", "1", "2"],
    );
    assert.deepEqual(
      [0, 1].map((rank) => gpuOf(rank, "3, 5")),
      ["3", "5"],
    );
    // One that a container was given serves its worker whatever the worker's place elsewhere.
    assert.equal(gpuOf(7, "GPU-8932f937"), "GPU-8932f937");
    for (const list of ["3,5", ""]) assert.throws(() => gpuOf(2, list), BadInput);
  });

  it("are described as the driver tells them", async () => {
    assert.deepEqual(describeGpus("/no/such/folder"), {});
    const folder = await mkdtemp(join(tmpdir(), "nvidia-"));
    try {
      for (const [bus, model] of [
        ["0000:41:00.0", "NVIDIA A100-SXM4-40GB"],
        ["0000:81:00.0", "NVIDIA A100-SXM4-40GB"],
        ["0000:c1:00.0", "NVIDIA L4"],
      ] as const) {
        await mkdir(join(folder, "gpus", bus), { recursive: true });
        const text = `Model: \t\t ${model}\nIRQ:   \t\t 117\n`;
        await writeFile(join(folder, "gpus", bus, "information"), text);
      }
      const version =
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15  Tue Mar  5\nGCC version:\n";
      await writeFile(join(folder, "version"), version);
      const gpu = "NVIDIA A100-SXM4-40GB and NVIDIA L4";
      assert.deepEqual(describeGpus(folder), { gpu, gpu_driver: "550.54.15" });
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });

  it("are refused where TensorFlow does not see the one that is there", () => {
    refuseUnusedGpu("cpu", false);
    refuseUnusedGpu("gpu", true);
    assert.throws(() => refuseUnusedGpu("gpu", false), /--device: expected a GPU that TensorFlow/u);
  });
});

describe("a worker's environment", () => {
  it("names its own GPU, lets memory grow and keeps the bits, with --device gpu only", () => {
    assert.deepEqual(gpuVariables(1, undefined), {
      CUDA_VISIBLE_DEVICES: "1",
      CUDA_DEVICE_ORDER: "PCI_BUS_ID",
      TF_FORCE_GPU_ALLOW_GROWTH: "true",
      TF_DETERMINISTIC_OPS: "1",
      NVIDIA_TF32_OVERRIDE: "0",
    });
    const cpu = engineVariables({ threads: 2, device: "cpu", localRank: 1 });
    assert.deepEqual(
      Object.keys(cpu).filter((name) => /CUDA|GPU|NVIDIA|DETERMINISTIC/u.test(name)),
      [],
    );
    const gpu = engineVariables({ threads: 2, device: "gpu", localRank: 1, visibleDevices: "4,6" });
    assert.equal(gpu["CUDA_VISIBLE_DEVICES"], "6");
  });

  it("keeps what the user has set, and one of the GPUs that the user has named", () => {
    const env = { CUDA_VISIBLE_DEVICES: "4,6", NVIDIA_TF32_OVERRIDE: "1", OTHER: "x" };
    setEngineEnvironment(env, { threads: 0, device: "gpu", localRank: 1 });
    assert.equal(env.CUDA_VISIBLE_DEVICES, "6");
    assert.equal(env.NVIDIA_TF32_OVERRIDE, "1");
    assert.equal(env.OTHER, "x");
    const other: NodeJS.ProcessEnv = { CUDA_VISIBLE_DEVICES: "4" };
    setEngineEnvironment(other, { threads: 0, device: "cpu", localRank: 3 });
    assert.equal(other["CUDA_VISIBLE_DEVICES"], "4");
  });
});
