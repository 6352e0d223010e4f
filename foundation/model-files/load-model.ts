/**
 * Loads a model folder as `transformers` writes it: config, weights, tokenizer files. What comes back is all that a run
 * starts from, checked: a wrong folder is refused here, before anything is started.
 */
import { readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { BadInput } from "../bad-input.ts";
import { familyOfConfig, type ModelFamily, type ProblemType } from "../families/family.ts";
import { layOutTable, type TensorSpec } from "../parameters/table.ts";
import { openTextTokenizer } from "../tokenizer/text-tokenizer.ts";
import { decodeUtf8, parseJsonObject, type JsonObject } from "./json-object.ts";
import { placeTensors, readState, type PlacedTensors } from "./state-reader.ts";
import { openWeightFiles } from "./weight-files.ts";

/** A model, ready to be trained or asked. */
export interface LoadedModel {
  /** Family name. */
  readonly family: string;
  /** `config.json` with the labels and the problem type of this job. */
  readonly configJson: string;
  /** Tensors; `layOutTable(specs)` is the layout of `state`. */
  readonly specs: readonly TensorSpec[];
  /** All values; empty once a run has handed them to its workers. */
  readonly state: Float32Array;
  /** Tokenizer files by name, verbatim; empty for a family that reads no text. */
  readonly tokenizerFiles: ReadonlyMap<string, Uint8Array>;
  /** Longest sequence in tokens; 0 for a family that reads no text. */
  readonly maxPositions: number;
  /** Labels in the order of their numbers. */
  readonly labels: readonly string[];
  readonly problemType: ProblemType;
  /** What the user should know: newly made heads, unused ones. One sentence each. */
  readonly notes: readonly string[];
}

/** What the job asks of the model. */
export interface LoadOptions {
  /** Labels of the job's data; null keeps the model's. */
  readonly labels: readonly string[] | null;
  /** Problem of the job; null keeps the model's. */
  readonly problemType: ProblemType | null;
  /** Seed of newly made tensors. */
  readonly seed: number;
  /** Refuse a model without a trained head (evaluation, prediction). */
  readonly requireHead: boolean;
}

/** Files that make a tokenizer; carried verbatim into every output. */
const tokenizerFileNames = [
  "tokenizer.json",
  "tokenizer_config.json",
  "special_tokens_map.json",
  "vocab.txt",
  "added_tokens.json",
];

/** Bytes of the largest file read whole (a tokenizer of a million tokens has 40 MB). */
const textFileBytesMax = 256 * 1024 * 1024;

/** Loads a folder. Throws BadInput naming file, field or tensor, what was expected and what was found. */
export async function loadModel(folder: string, options: LoadOptions): Promise<LoadedModel> {
  const stored = await readConfig(folder);
  const file = join(folder, "config.json");
  const family = familyOfConfig(stored, file);
  named(file, () => family.tensors(stored));
  const tokenizerFiles = await readTokenizerFiles(folder, family, stored);
  const weights = await openWeightFiles(folder);
  try {
    const placed = placeTensors(family, weights, folder);
    const target = targetOf({ folder, family, stored, placed }, options);
    const config = family.relabel(stored, target.labels, target.problemType);
    const specs = family.tensors(config);
    const { seed, requireHead } = options;
    const table = layOutTable(specs);
    const request = { folder, family, config, table, seed, requireHead };
    const { state, notes } = await readState(placed, request);
    return {
      family: family.name,
      configJson: `${JSON.stringify(config, null, 2)}\n`,
      specs,
      state,
      tokenizerFiles,
      maxPositions: family.textLimits(config)?.maxPositions ?? 0,
      ...target,
      notes,
    };
  } finally {
    await weights.close();
  }
}

interface Stored {
  readonly folder: string;
  readonly family: ModelFamily;
  readonly stored: JsonObject;
  readonly placed: PlacedTensors;
}

/** The labels and the problem that are trained: the job's where it states them, else the model's. */
function targetOf(
  { folder, family, stored, placed }: Stored,
  options: LoadOptions,
): { labels: readonly string[]; problemType: ProblemType } {
  const head =
    family.labelTensor === null ? undefined : placed.byName.get(family.labelTensor)?.stored;
  const own = family.labels(stored);
  // A new head of a regression has one output unless the job says otherwise, whatever a config without a head implies.
  const kept = head === undefined && options.problemType === "regression" ? ["LABEL_0"] : own;
  const labels = options.labels ?? kept;
  const headSize = head?.shape[0];
  if (headSize !== undefined && options.labels !== null && headSize !== labels.length) {
    throw new BadInput({
      file: folder,
      expected: `${headSize} labels, as the model's trained head has`,
      found: `${labels.length} in the data: ${labels.join(", ")}`,
    });
  }
  const problemType = options.problemType ?? family.problemType(stored);
  return { labels, problemType };
}

/** The family of the model in a folder. Throws BadInput as `loadModel` does. */
export async function familyOfFolder(folder: string): Promise<ModelFamily> {
  return familyOfConfig(await readConfig(folder), join(folder, "config.json"));
}

async function readConfig(folder: string): Promise<JsonObject> {
  const isFolder = await stat(folder).then(
    (entry) => entry.isDirectory(),
    () => false,
  );
  if (!isFolder)
    throw new BadInput({ file: folder, expected: "a folder with a model", found: "none" });
  const file = join(folder, "config.json");
  const bytes = await readSmallFile(file);
  if (bytes === null)
    throw new BadInput({ file, expected: "the model's config", found: "no file" });
  return parseJsonObject(decodeUtf8(bytes, file), file);
}

async function readTokenizerFiles(
  folder: string,
  family: ModelFamily,
  config: JsonObject,
): Promise<ReadonlyMap<string, Uint8Array>> {
  const files = new Map<string, Uint8Array>();
  const limits = family.textLimits(config);
  if (limits === null) return files;
  for (const name of tokenizerFileNames) {
    const bytes = await readSmallFile(join(folder, name));
    if (bytes !== null) files.set(name, bytes);
  }
  const tokenizer = openTextTokenizer(files, { folder, modelType: family.name });
  const { vocabularySize } = limits;
  // Published models pad their vocabulary to a multiple of 8, 64 or 128; more or other rows are another tokenizer's.
  const padding = vocabularySize - tokenizer.size;
  const padded = padding > 0 && padding < 128 && vocabularySize % 8 === 0;
  if (padding !== 0 && !padded) {
    throw new BadInput({
      file: folder,
      expected: `a tokenizer of ${vocabularySize} tokens, as vocab_size in config.json says`,
      found: `${tokenizer.size} tokens`,
    });
  }
  return files;
}

async function readSmallFile(file: string): Promise<Uint8Array | null> {
  const entry = await stat(file).catch(() => null);
  if (entry === null || !entry.isFile()) return null;
  if (entry.size > textFileBytesMax) {
    throw new BadInput({
      file,
      expected: `at most ${textFileBytesMax} bytes`,
      found: `${entry.size}`,
    });
  }
  return readFile(file);
}

/** Runs a check of the config and names the file in its folder in what it throws. */
function named(file: string, check: () => unknown): void {
  try {
    check();
  } catch (error) {
    throw error instanceof BadInput ? new BadInput({ ...error.place, file }) : error;
  }
}
