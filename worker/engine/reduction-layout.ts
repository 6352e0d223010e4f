/** The vector that a step reduces: [gradients of the trainable vector | buffers | loss | weight]. Pure. */
import type { ParameterTable, TableEntry } from "../../foundation/parameters/table.ts";

/** Which tensors lie where. Offsets and sizes count float32 elements. */
export interface ReductionLayout {
  readonly trainable: readonly TableEntry[];
  readonly buffers: readonly TableEntry[];
  /** Elements of each part, the two scalars included. */
  readonly parts: readonly number[];
  readonly size: number;
  readonly lossOffset: number;
  readonly weightOffset: number;
}

/** Names of a model's outputs that the parts are, in order. */
export function vectorOutputs({ trainable, buffers }: ReductionLayout): readonly string[] {
  return [
    ...trainable.map((entry) => `gradient/${entry.name}`),
    ...buffers.map((entry) => `buffer/${entry.name}`),
    "loss",
    "weight",
  ];
}

/** Lays out the reduction of a table. */
export function layOutReduction(table: ParameterTable): ReductionLayout {
  const trainable = table.entries.filter((entry) => entry.trainableOffset !== null);
  const buffers = table.entries.filter((entry) => entry.kind === "buffer");
  const parts = [...trainable, ...buffers].map((entry) => entry.size).concat(1, 1);
  const size = parts.reduce((sum, part) => sum + part, 0);
  return { trainable, buffers, parts, size, lossOffset: size - 2, weightOffset: size - 1 };
}
