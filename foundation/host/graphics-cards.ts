/** Which of NVIDIA's GPUs this machine has. */
import { readdirSync } from "node:fs";
import { BadInput } from "../bad-input.ts";

/** Names of GPUs among the files of a device folder: `nvidia0`, `nvidia1`, …; WSL has one for all, `dxg`. */
export function gpusAmong(names: readonly string[]): readonly string[] {
  return names.filter((name) => /^(nvidia\d+|dxg)$/u.test(name));
}

/** The GPUs whose device files are there; a driver makes them. Empty where there is no such folder. */
export function presentGpus(folder = "/dev"): readonly string[] {
  try {
    return gpusAmong(readdirSync(folder));
  } catch {
    return [];
  }
}

/** Throws BadInput where a GPU is wanted and none is there: TensorFlow would say nothing and compute on the CPU. */
export function refuseMissingGpu(device: "cpu" | "gpu", present: readonly string[]): void {
  if (device === "cpu" || present.length > 0) return;
  throw new BadInput({
    flag: "--device",
    expected: "cpu, or gpu on a machine with NVIDIA's driver and a GPU",
    found: "gpu, and no /dev/nvidia0",
    remedy: "nvidia-smi says whether the driver sees one",
  });
}
