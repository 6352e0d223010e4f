/**
 * The parameter table: the one layout that the wire, the hashes, the optimiser state and the checkpoints share.
 * Parameters come first, in the model's order, then buffers (running averages). Trainable parameters have a second
 * offset, within the flat vector of gradients and moments; what is frozen has none, so it costs nothing there.
 */
import { createHash } from "node:crypto";
import { z } from "zod";

/** What a model declares of one of its tensors. */
export interface TensorSpec {
  /** Name as in the checkpoint file. */
  readonly name: string;
  /** Shape; `[]` for a scalar. */
  readonly shape: readonly number[];
  /** `parameter` has a gradient unless frozen; `buffer` is state without one (running averages). */
  readonly kind: "parameter" | "buffer";
  /** Whether weight decay applies (not on biases and LayerNorm). */
  readonly decay: boolean;
}

/** One row of the table. Offsets and sizes count float32 elements. */
export interface TableEntry extends TensorSpec {
  /** Elements. */
  readonly size: number;
  /** Offset within the state vector: all parameters, then all buffers. */
  readonly offset: number;
  /** Offset within the trainable vector, or null for what does not train. */
  readonly trainableOffset: number | null;
}

/** All rows, their sums, and a hash that changes with any of it. */
export interface ParameterTable {
  readonly version: string;
  readonly entries: readonly TableEntry[];
  /** Elements of the state vector. */
  readonly stateSize: number;
  /** Elements of the trainable vector. */
  readonly trainableSize: number;
}

const tableSchema = z.object({
  version: z.string(),
  tensors: z.array(
    z.object({
      name: z.string(),
      shape: z.array(z.number().int().nonnegative()),
      kind: z.enum(["parameter", "buffer"]),
      decay: z.boolean(),
      trainable: z.boolean(),
    }),
  ),
});

/** Names of what a step reduces, in the order of the vector: the trainable parameters, then the buffers. */
export function reducedNames(table: ParameterTable): readonly string[] {
  const trainable = table.entries.filter(({ trainableOffset }) => trainableOffset !== null);
  const buffers = table.entries.filter(({ kind }) => kind === "buffer");
  return [...trainable, ...buffers].map(({ name }) => name);
}

/** Elements of a tensor of this shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1);
}

/**
 * Lays out a table.
 * @param specs the model's tensors in their order
 * @param frozen names of parameters that do not train
 */
export function layOutTable(
  specs: readonly TensorSpec[],
  frozen: ReadonlySet<string> = new Set(),
): ParameterTable {
  const ordered = [
    ...specs.filter((spec) => spec.kind === "parameter"),
    ...specs.filter((spec) => spec.kind === "buffer"),
  ];
  let offset = 0;
  let trainable = 0;
  const entries = ordered.map((spec): TableEntry => {
    const size = sizeOf(spec.shape);
    const trains = spec.kind === "parameter" && !frozen.has(spec.name);
    const entry = { ...spec, size, offset, trainableOffset: trains ? trainable : null };
    offset += size;
    if (trains) trainable += size;
    return entry;
  });
  const version = createHash("sha256").update(tensorsJson(entries)).digest("hex").slice(0, 16);
  return { version, entries, stateSize: offset, trainableSize: trainable };
}

function tensorsJson(entries: readonly TableEntry[]): string {
  return JSON.stringify(
    entries.map(({ name, shape, kind, decay, trainableOffset }) => ({
      name,
      shape,
      kind,
      decay,
      trainable: trainableOffset !== null,
    })),
  );
}

/** The table as JSON, for the wire and for checkpoints. */
export function serializeTable(table: ParameterTable): string {
  return `{"version":${JSON.stringify(table.version)},"tensors":${tensorsJson(table.entries)}}`;
}

/** Reads a table back. Throws when it is malformed or its version does not match its content. */
export function parseTable(json: string): ParameterTable {
  const parsed = tableSchema.parse(JSON.parse(json));
  const frozen = new Set(parsed.tensors.filter((t) => !t.trainable).map((t) => t.name));
  const specs = parsed.tensors.map(({ name, shape, kind, decay }): TensorSpec => ({
    name,
    shape,
    kind,
    decay,
  }));
  const table = layOutTable(specs, frozen);
  if (table.version !== parsed.version) {
    throw new Error(
      `Cannot read parameter table as its version is ${parsed.version}: its content makes ${table.version}`,
    );
  }
  return table;
}
