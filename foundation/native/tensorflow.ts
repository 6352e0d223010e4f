/** TensorFlow's two C++ libraries and the headers to compile against them, taken from its wheel. */
import { createHash } from "node:crypto";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { installFolder } from "../cache/install-folder.ts";
import type { Device } from "../device.ts";
import type { FetchContext } from "./fetch-pinned.ts";
import { fetchWheel } from "./fetch-wheel.ts";
import { tensorflowVersion, tensorflowWheels } from "./pins.ts";
import { tensorflowLibraries, type Platform } from "./platform.ts";
import { unpackWheel } from "./unpack-wheel.ts";

/** Where the libraries and headers lie, or will lie. */
export interface TensorflowFolder {
  /** The folder's own name, unique for its wheels. */
  readonly name: string;
  /** `<cache>/tensorflow/<name>`; it holds `tensorflow/` and, for GPUs, `nvidia/`, as site-packages does. */
  readonly folder: string;
  readonly libraryFiles: readonly string[];
  readonly includeFolder: string;
}

const keyCharacters = 12;

/** The place in the cache that these wheels decide; touches no disk. */
export function tensorflowFolder(
  cache: string,
  platform: Platform,
  device: Device,
): TensorflowFolder {
  const hashes = tensorflowWheels(platform, device).map((wheel) => wheel.sha256);
  const key = createHash("sha256").update(hashes.join(" ")).digest("hex").slice(0, keyCharacters);
  const name = `${tensorflowVersion}-${device}-${platform}-${key}`;
  const folder = join(cache, "tensorflow", name);
  return {
    name,
    folder,
    libraryFiles: tensorflowLibraries(platform).map((file) => join(folder, "tensorflow", file)),
    includeFolder: join(folder, "tensorflow", "include"),
  };
}

/**
 * What is kept of the wheels, at its own path: binding and libraries find each other, and the CUDA libraries, by their
 * places relative to one another.
 */
export function keptOfTensorflow(pathInWheel: string): string | null {
  const isWanted =
    /^tensorflow\/(lib[^/]+\.(so|dylib)[.\d]*|lib[^/]+\.\d+\.dylib|include\/.*|THIRD_PARTY_NOTICES\.txt)$/.test(
      pathInWheel,
    ) || /^nvidia\/[^/]+\/(lib|bin|nvvm)\/.*/.test(pathInWheel);
  return isWanted ? pathInWheel : null;
}

/** Fetches and unpacks. The caller holds the set-up's lock. */
export async function installTensorflow(
  context: FetchContext,
  platform: Platform,
  device: Device,
): Promise<void> {
  const wheels = tensorflowWheels(platform, device);
  const wheelFiles: string[] = [];
  for (const wheel of wheels) wheelFiles.push(await fetchWheel(wheel, context));
  const { progress, signal } = context;
  await installFolder(tensorflowFolder(context.cache, platform, device).folder, async (folder) => {
    for (const [index, wheelFile] of wheelFiles.entries()) {
      const label = `unpack ${wheels[index]?.package ?? ""} ${wheels[index]?.version ?? ""}`;
      await unpackWheel(wheelFile, { label, place: keptOfTensorflow, folder, progress, signal });
    }
  });
  for (const wheelFile of wheelFiles) await rm(wheelFile, { force: true });
}
