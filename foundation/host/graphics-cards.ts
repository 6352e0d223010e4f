/** Everything that is decided about NVIDIA's GPUs: which there are, which one a worker takes, what its library is told. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
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

/** What `CUDA_VISIBLE_DEVICES` lists: numbers or UUIDs. Null where it is not set: all may be used. */
function listed(visibleDevices: string | undefined): readonly string[] | null {
  if (visibleDevices === undefined) return null;
  return visibleDevices.split(",").flatMap((name) => (name.trim() === "" ? [] : [name.trim()]));
}

/**
 * Throws BadInput where GPUs are wanted and not enough are there: TensorFlow would say nothing and compute on the CPU.
 * @param workers on this machine, each with a GPU of its own
 * @param visibleDevices `CUDA_VISIBLE_DEVICES`
 */
export function refuseMissingGpus(
  device: "cpu" | "gpu",
  workers: number,
  { present, visibleDevices }: { present: readonly string[]; visibleDevices: string | undefined },
): void {
  if (device === "cpu") return;
  if (present.length === 0) {
    throw new BadInput({
      flag: "--device",
      expected: "cpu, or gpu on a machine with NVIDIA's driver and a GPU",
      found: "gpu, and no /dev/nvidia0",
      remedy: "nvidia-smi says whether the driver sees one",
    });
  }
  const usable = listed(visibleDevices)?.length ?? present.length;
  // One device file of WSL stands for any number of GPUs.
  if (workers <= usable || (visibleDevices === undefined && present.includes("dxg"))) return;
  const source = visibleDevices === undefined ? "" : ` (CUDA_VISIBLE_DEVICES=${visibleDevices})`;
  throw new BadInput({
    flag: "--workers",
    expected: `at most ${usable} on this machine with --device gpu, one for each GPU${source}`,
    found: String(workers),
    remedy: "further workers can join from other machines: --no-spawn-workers",
  });
}

/**
 * The GPU of a worker, as `CUDA_VISIBLE_DEVICES` names it: the one of its place among those that may be used, and no other, so
 * that each worker has one to itself. Throws BadInput where the list is too short.
 * @param localRank place among the workers of this host, from 0
 */
export function gpuOf(localRank: number, visibleDevices: string | undefined): string {
  const all = listed(visibleDevices);
  if (all === null) return String(localRank);
  const [only] = all;
  // A container or a scheduler has chosen already.
  const chosen = all.length === 1 ? only : all[localRank];
  if (chosen !== undefined) return chosen;
  throw new BadInput({
    flag: "CUDA_VISIBLE_DEVICES",
    expected: `a GPU for worker ${localRank} of this machine`,
    found: visibleDevices === "" ? "none" : `${all.length}: ${visibleDevices}`,
  });
}

/** What NVIDIA's libraries are told, by variable: the worker's own GPU, memory as it is needed, the same bits each time. */
export function gpuVariables(
  localRank: number,
  visibleDevices: string | undefined,
): Readonly<Record<string, string>> {
  return {
    CUDA_VISIBLE_DEVICES: gpuOf(localRank, visibleDevices),
    // Numbers as nvidia-smi has them; CUDA's own begin with the fastest.
    CUDA_DEVICE_ORDER: "PCI_BUS_ID",
    TF_FORCE_GPU_ALLOW_GROWTH: "true",
    // Kernels that add in another order each time are left out, or refused by name.
    TF_DETERMINISTIC_OPS: "1",
    // TensorFlow would multiply float32 in TF32, whose products have 11 bits.
    NVIDIA_TF32_OVERRIDE: "0",
  };
}

/** Throws BadInput where a GPU is wanted and the loaded TensorFlow has none: it would compute on the CPU. */
export function refuseUnusedGpu(device: "cpu" | "gpu", usesGpu: boolean): void {
  if (device === "cpu" || usesGpu) return;
  throw new BadInput({
    flag: "--device",
    expected: "a GPU that TensorFlow can use",
    found: "none: a driver too old for CUDA 12, or a library that it does not find",
    remedy: "the worker's log with TF_CPP_MIN_LOG_LEVEL=0 names what is missing",
  });
}

/**
 * Models of the GPUs by bus, and the driver's version, as the driver tells them; nothing where it tells nothing (WSL).
 * @param folder where the driver's kernel module has its files
 */
export function describeGpus(folder = "/proc/driver/nvidia"): Readonly<Record<string, string>> {
  try {
    const models = readdirSync(join(folder, "gpus"))
      .sort()
      .map((bus) => readFileSync(join(folder, "gpus", bus, "information"), "utf8"))
      .map((text) => /^Model:\s*(.+?)\s*$/mu.exec(text)?.[1] ?? "unknown");
    const version = readFileSync(join(folder, "version"), "utf8");
    const driver = /^NVRM version:.*?(\d+(?:\.\d+)+)/mu.exec(version)?.[1] ?? "unknown";
    return { gpu: [...new Set(models)].join(" and "), gpu_driver: driver };
  } catch {
    return {};
  }
}
