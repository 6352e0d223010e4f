/**
 * Parameters that are looked up by row, as embeddings are: a microbatch touches few of their rows, so programs are given
 * those rows in the whole's place, and ids' places among them. Pure.
 */
import { anyLength, isOpen } from "./input-shape.ts";
import type { InputSpec } from "./model.ts";

/** A parameter of which every use looks up the rows that one input names. */
export interface LookedUp {
  /** Name in the table; its first dimension counts rows. */
  readonly tensor: string;
  /** The int32 input of row numbers. */
  readonly ids: string;
  /** Row numbers of a microbatch at most; needed where the input is open. */
  readonly idsMax?: number;
}

/** Input that holds the numbers of the touched rows, filled up with row 0. */
export function rowsInput(tensor: string): string {
  return `rows of ${tensor}`;
}

/** Input that holds each id's place among the touched rows, in the ids' shape; absent where a program has the whole tensor. */
export function placesInput(tensor: string): string {
  return `places in ${tensor}`;
}

/** The two inputs of a program that is given rows of a tensor; `ids` is the input that names them. */
export function rowInputs(tensor: string, ids: InputSpec): readonly InputSpec[] {
  const count = ids.shape.reduce((product, size) => product * size, 1);
  return [
    { name: rowsInput(tensor), shape: [isOpen(ids) ? anyLength : count], dtype: "int32" },
    { name: placesInput(tensor), shape: ids.shape, dtype: "int32" },
  ];
}

/** The distinct ids in ascending order, and each id's place among them. */
export function touchedRows(ids: ArrayLike<number>): {
  readonly rows: Int32Array;
  readonly places: Int32Array;
} {
  const all = Int32Array.from(ids).sort();
  const rows = all.filter((id, index) => index === 0 || id !== all[index - 1]);
  const placeOf = new Map(Array.from(rows, (id, place) => [id, place]));
  return { rows, places: Int32Array.from(ids, (id) => placeOf.get(id) ?? -1) };
}
