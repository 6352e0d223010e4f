/**
 * Keeps recorded programs on disk: keyed by all that decides them, checked by SHA-256 before use, written aside and
 * renamed. Of several workers that start together one records and the others wait for it.
 */
import { createHash } from "node:crypto";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { z } from "zod";
import { withProcessLock } from "../../foundation/cache/process-lock.ts";
import { deviceInUse } from "../../foundation/device.ts";
import { anyLength } from "../model/input-shape.ts";
import type { TensorFlowBinding } from "./binding.ts";
import type { PrepareOptions } from "./engine.ts";
import { ownProductsHere } from "./own-products-here.ts";
import type { ProgramIndex } from "./program-index.ts";
import type { ProgramSet } from "./program-set.ts";

/** Sets that are kept: a job has one, a freeze schedule a few. A set takes about 1 MB. */
const setsMax = 64;

const inputSchema = z.object({
  name: z.string(),
  shape: z.array(z.number().int().min(anyLength)),
  dtype: z.enum(["float32", "int32"]),
});

const indexSchema = z.object({
  sha256: z.string(),
  index: z.object({
    tableVersion: z.string(),
    phases: z.array(
      z.object({
        name: z.string(),
        collective: z.enum(["sum", "gather"]),
        gathered: z.array(inputSchema),
      }),
    ),
    rowTensors: z.array(
      z.object({
        tensor: z.string(),
        ids: z.string(),
        part: z.number().int().nonnegative(),
        rows: z.number().int().nonnegative(),
        capacity: z.number().int().nonnegative(),
      }),
    ),
    inputs: z.record(z.string(), z.array(inputSchema)),
  }),
});

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Hash of the sources that make programs: recorder, passes, models. */
function sourcesHash(): string {
  const hash = createHash("sha256");
  for (const folder of ["./", "./passes/", "../model/"]) {
    const path = fileURLToPath(new URL(folder, import.meta.url));
    for (const name of readdirSync(path)
      .filter((file) => /\.(ts|js)$/.test(file))
      .sort()) {
      hash.update(name).update(readFileSync(join(path, name)));
    }
  }
  return hash.digest("hex");
}

/** What is asked of the binding: what computes, and its version. */
type Computing = Pick<TensorFlowBinding, "TF_Version" | "isUsingGpuDevice">;

/** Key of a set of programs: everything that decides it. */
export function programKey(options: PrepareOptions, binding: Computing): string {
  const { cacheFolder: _where, seed: _fed, ...deciding } = options;
  const products = ownProductsHere(options.precision, binding);
  const { TF_Version: tensorflowVersion } = binding;
  const device = deviceInUse(binding);
  const sources = sourcesHash();
  const text = JSON.stringify({ deciding, tensorflowVersion, device, products, sources });
  return sha256(Buffer.from(text)).slice(0, 32);
}

/** The folder of a key's programs, for `loadSavedModel`. */
export function programFolder(cacheFolder: string, key: string): string {
  return join(cacheFolder, "programs", key);
}

/** Reads and checks a stored set's index; null when there is none or it is damaged (it is then removed). */
export function readStoredIndex(folder: string): ProgramIndex | null {
  if (!existsSync(join(folder, "index.json"))) return null;
  try {
    const { sha256: expected, index } = indexSchema.parse(
      JSON.parse(readFileSync(join(folder, "index.json"), "utf8")),
    );
    if (sha256(readFileSync(join(folder, "saved_model.pb"))) === expected) {
      const now = new Date();
      utimesSync(folder, now, now);
      return index;
    }
  } catch {
    // Damaged: made again below.
  }
  rmSync(folder, { recursive: true, force: true });
  return null;
}

/** Writes a set aside and renames it into place. Losing the race against another process is no failure. */
export function writeStored(folder: string, set: ProgramSet): void {
  const aside = `${folder}.${process.pid}.part`;
  rmSync(aside, { recursive: true, force: true });
  mkdirSync(aside, { recursive: true });
  writeFileSync(join(aside, "saved_model.pb"), set.savedModel);
  writeFileSync(
    join(aside, "index.json"),
    JSON.stringify({ sha256: sha256(set.savedModel), index: set.index }),
  );
  try {
    renameSync(aside, folder);
  } catch (error) {
    rmSync(aside, { recursive: true, force: true });
    if (!existsSync(folder)) throw error;
  }
}

/** Removes the sets that have not been used for longest, so that at most `setsMax` stay. */
export function removeOldPrograms(cacheFolder: string): void {
  const folder = join(cacheFolder, "programs");
  const sets = readdirSync(folder).map((name) => {
    const path = join(folder, name);
    return { path, usedMs: statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0 };
  });
  const oldest = sets.sort((left, right) => right.usedMs - left.usedMs).slice(setsMax);
  for (const { path } of oldest) rmSync(path, { recursive: true, force: true });
}

/**
 * Uses a job's programs: from the cache, or recorded into it, or into a folder that is gone afterwards where there is no cache.
 * @param record writes the programs into a folder
 * @param use loads them while they are sure to be there
 */
export async function withPrograms<Result>(
  options: PrepareOptions,
  binding: Computing,
  record: (folder: string) => Promise<void>,
  use: (folder: string, index: ProgramIndex, fromCache: boolean) => Result,
): Promise<Result> {
  const make = async (folder: string): Promise<ProgramIndex> => {
    await record(folder);
    const index = readStoredIndex(folder);
    if (index === null) throw new Error(`Cannot read the programs just recorded, in ${folder}`);
    return index;
  };
  const { cacheFolder } = options;
  if (cacheFolder === null) {
    const parent = await mkdtemp(join(tmpdir(), "ringmaster-programs-"));
    try {
      const folder = join(parent, "programs");
      return use(folder, await make(folder), false);
    } finally {
      await rm(parent, { recursive: true, force: true });
    }
  }
  const key = programKey(options, binding);
  const folder = programFolder(cacheFolder, key);
  const stored = readStoredIndex(folder);
  if (stored !== null) return use(folder, stored, true);
  const { signal } = new AbortController();
  return await withProcessLock(
    join(cacheFolder, "locks", `programs-${key}`),
    { signal },
    async () => {
      const since = readStoredIndex(folder);
      const index = since ?? (await make(folder));
      removeOldPrograms(cacheFolder);
      return use(folder, index, since !== null);
    },
  );
}
