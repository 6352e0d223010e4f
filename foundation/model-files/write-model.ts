/**
 * Writes a model so that transformers' AutoModelForSequenceClassification loads it: config, weights, tokenizer files.
 */
import { open } from "node:fs/promises";
import { basename, join } from "node:path";
import { layOutTable, type TensorSpec } from "../parameters/table.ts";
import { writeSafetensors } from "./safetensors.ts";

/** What is written. `state` is laid out by `layOutTable(specs)`. */
export interface WritableModel {
  readonly configJson: string;
  readonly specs: readonly TensorSpec[];
  readonly state: Float32Array;
  readonly tokenizerFiles: ReadonlyMap<string, Uint8Array>;
}

/** Writes and syncs each file into a folder that exists and holds none of them. The caller syncs and renames the folder. */
export async function writeModel(folder: string, model: WritableModel): Promise<void> {
  const table = layOutTable(model.specs);
  if (model.state.length !== table.stateSize) {
    throw new RangeError(
      `Cannot write model of ${table.stateSize} values: the state has ${model.state.length}`,
    );
  }
  const tensors = table.entries.map(({ name, shape, offset, size }) => ({
    name,
    shape,
    values: model.state.subarray(offset, offset + size),
  }));
  await writeSafetensors(join(folder, "model.safetensors"), tensors);
  await writeSynced(join(folder, "config.json"), Buffer.from(model.configJson));
  for (const [name, bytes] of model.tokenizerFiles) {
    if (name !== basename(name))
      throw new RangeError(`Cannot write tokenizer file as it has a path: ${name}`);
    await writeSynced(join(folder, name), bytes);
  }
}

async function writeSynced(file: string, bytes: Uint8Array): Promise<void> {
  const handle = await open(file, "wx");
  try {
    await handle.writeFile(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
