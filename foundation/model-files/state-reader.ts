/**
 * Fills the state vector from stored tensors: each goes to its place in the parameter table, what may be missing is
 * newly made, everything else that does not fit is named.
 */
import { BadInput } from "../bad-input.ts";
import type { ModelFamily } from "../families/family.ts";
import type { ParameterTable, TableEntry } from "../parameters/table.ts";
import type { JsonObject } from "./json-object.ts";
import { drawNormal } from "./new-tensor.ts";
import type { WeightFiles, WeightTensor } from "./weight-files.ts";

/** Tensor names said in one message. */
const namedMax = 3;

/** What stored tensors are to become. */
export interface StateRequest {
  /** Folder as the user named it. */
  readonly folder: string;
  readonly family: ModelFamily;
  readonly config: JsonObject;
  readonly table: ParameterTable;
  /** Seed of what is newly made. */
  readonly seed: number;
  /** Whether a missing head is refused instead of made. */
  readonly requireHead: boolean;
}

/** Stored tensors by table name, and what was said about the others. */
export interface PlacedTensors {
  readonly byName: ReadonlyMap<string, WeightTensor>;
  readonly notes: readonly string[];
}

/** Gives each stored tensor its name in the table. Throws BadInput when two claim one name. */
export function placeTensors(
  family: ModelFamily,
  weights: WeightFiles,
  folder: string,
): PlacedTensors {
  const byName = new Map<string, WeightTensor>();
  const unused = new Set<string>();
  for (const [storedName, tensor] of weights.tensors) {
    const placement = family.place(storedName);
    if (placement.kind === "unused") unused.add(placement.part);
    if (placement.kind !== "tensor") continue;
    const rival = byName.get(placement.name);
    if (rival !== undefined) {
      throw new BadInput({
        file: folder,
        expected: `one tensor ${placement.name}`,
        found: `${rival.stored.name} and ${storedName}`,
      });
    }
    byName.set(placement.name, tensor);
  }
  const notes = [...unused].map((part) => `Weights of another head are not used: ${part}`);
  return { byName, notes };
}

/**
 * Reads the state in table order. Throws BadInput naming tensor, expected and found shape.
 * @returns the state and what the user should know of it
 */
export async function readState(
  placed: PlacedTensors,
  request: StateRequest,
): Promise<{ state: Float32Array; notes: readonly string[] }> {
  const { table, folder } = request;
  refuseExtra(placed, request);
  const state = new Float32Array(table.stateSize);
  const made: string[] = [];
  for (const entry of table.entries) {
    const target = state.subarray(entry.offset, entry.offset + entry.size);
    const tensor = placed.byName.get(entry.name);
    if (tensor === undefined) {
      makeTensor(entry, target, request);
      made.push(entry.name);
      continue;
    }
    refuseOtherShape(entry, tensor, folder);
    await tensor.reader.read(tensor.stored.name, target);
  }
  const notes = [...placed.notes];
  if (made.length > 0) notes.push(`Newly made, to be trained first: ${made.join(", ")}`);
  return { state, notes };
}

function refuseExtra(placed: PlacedTensors, { table, folder }: StateRequest): void {
  const known = new Set(table.entries.map((entry) => entry.name));
  const extra = [...placed.byName].filter(([name]) => !known.has(name));
  const [first] = extra;
  if (first === undefined) return;
  throw new BadInput({
    file: first[1].reader.file,
    expected: `only tensors of the model that config.json in ${folder} describes`,
    found: listed(extra.map(([, tensor]) => tensor.stored.name)),
  });
}

function makeTensor(entry: TableEntry, target: Float32Array, request: StateRequest): void {
  const { family, config, folder, seed, requireHead } = request;
  const deviation = family.deviationOfNew(entry.name, config);
  if (deviation === null || requireHead) {
    throw new BadInput({
      file: folder,
      expected: `tensor ${entry.name} [${entry.shape.join(", ")}]`,
      found: "none",
      ...(deviation === null
        ? {}
        : { remedy: "this model has no trained head: fine-tune it first" }),
    });
  }
  drawNormal(target, { seed, name: entry.name, deviation });
}

function refuseOtherShape(
  entry: TableEntry,
  { stored, reader }: WeightTensor,
  folder: string,
): void {
  const expected = entry.shape.join(", ");
  const found = stored.shape.join(", ");
  if (expected === found) return;
  throw new BadInput({
    file: reader.file,
    expected: `tensor ${stored.name} [${expected}], as config.json in ${folder} says`,
    found: `[${found}]`,
  });
}

function listed(names: readonly string[]): string {
  const rest = names.length - namedMax;
  return names.slice(0, namedMax).join(", ") + (rest > 0 ? ` and ${rest} more` : "");
}
