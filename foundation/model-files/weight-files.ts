/**
 * The weight files of a model folder: one `model.safetensors`, or shards listed in `model.safetensors.index.json`.
 * Either way one view: tensor name → where to read it.
 */
import { access } from "node:fs/promises";
import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { z } from "zod";
import { BadInput } from "../bad-input.ts";
import { decodeUtf8, parseJsonObject } from "./json-object.ts";
import { openSafetensors, type SafetensorsReader } from "./safetensors.ts";
import type { StoredTensor } from "./safetensors-header.ts";

/** A tensor and the open file that holds it. */
export interface WeightTensor {
  readonly stored: StoredTensor;
  readonly reader: SafetensorsReader;
}

/** All tensors of a folder. Close it. */
export interface WeightFiles {
  readonly tensors: ReadonlyMap<string, WeightTensor>;
  close(): Promise<void>;
}

const singleName = "model.safetensors";
const indexName = "model.safetensors.index.json";
/** Shards that are opened at once; the largest published models have fewer than 200. */
const shardCountMax = 1000;

const indexSchema = z.object({ weight_map: z.record(z.string(), z.string()) });

/** Opens a folder's weights. Throws BadInput where there are none or a file is wrong. */
export async function openWeightFiles(folder: string): Promise<WeightFiles> {
  const single = join(folder, singleName);
  if (await exists(single)) {
    const reader = await openSafetensors(single);
    const tensors = [...reader.tensors].map(
      ([name, stored]) => [name, { stored, reader }] satisfies [string, WeightTensor],
    );
    return { tensors: new Map(tensors), close: async () => reader.close() };
  }
  const index = join(folder, indexName);
  if (await exists(index)) return openShards(folder, index);
  const pickled = await exists(join(folder, "pytorch_model.bin"));
  throw new BadInput({
    file: folder,
    expected: singleName,
    found: pickled ? "only pytorch_model.bin" : "none",
    remedy: pickled
      ? "convert it once with transformers: AutoModel.from_pretrained(DIR).save_pretrained(DIR), version 5 or safe_serialization=True"
      : "a folder as transformers' save_pretrained writes it",
  });
}

/** Bytes of a folder's weights, by the sizes of its files alone; 0 where there are none. */
export async function weightBytesOf(folder: string): Promise<number> {
  const names = (await readdir(folder)).filter((name) => /^model.*\.safetensors$/u.test(name));
  const sizes = await Promise.all(names.map(async (name) => (await stat(join(folder, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function openShards(folder: string, index: string): Promise<WeightFiles> {
  const json = parseJsonObject(decodeUtf8(await readFile(index), index), index);
  const parsed = indexSchema.safeParse(json);
  if (!parsed.success) throw new BadInput({ file: index, expected: "weight_map: tensor → file" });
  const places = Object.entries(parsed.data.weight_map);
  const files = new Set(places.map(([, file]) => file));
  if (files.size > shardCountMax) {
    throw new BadInput({
      file: index,
      expected: `at most ${shardCountMax} files`,
      found: `${files.size}`,
    });
  }
  const readers = new Map<string, SafetensorsReader>();
  const close = async () => {
    for (const reader of readers.values()) await reader.close();
  };
  try {
    for (const file of files) readers.set(file, await openShard(folder, file, index));
    const tensors = new Map<string, WeightTensor>();
    for (const [name, file] of places) {
      const reader = readers.get(file);
      const stored = reader?.tensors.get(name);
      if (reader === undefined || stored === undefined) {
        throw new BadInput({ file: join(folder, file), expected: `tensor ${name}`, found: "none" });
      }
      tensors.set(name, { stored, reader });
    }
    return { tensors, close };
  } catch (error) {
    await close();
    throw error;
  }
}

async function openShard(folder: string, file: string, index: string): Promise<SafetensorsReader> {
  if (file !== basename(file) || file.includes("\\")) {
    throw new BadInput({ file: index, expected: "names of files beside it", found: file });
  }
  const path = join(folder, file);
  if (!(await exists(path))) {
    throw new BadInput({ file: index, expected: `${file} beside it`, found: "none" });
  }
  return openSafetensors(path);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
