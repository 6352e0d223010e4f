/**
 * A program's outputs as one flat vector, given in two ways: written part by part into memory that is fed (on a CPU the fed
 * tensor *is* the caller's shared memory, so nothing is copied out), or fetched as a tensor like any other.
 */
import { dataTypes, type GraphScope } from "./graph-node.ts";
import { alignedLength } from "./shared-vector.ts";

/** One tensor of the vector. */
export interface FlatPart {
  /** Reference of its value, of any shape. */
  readonly value: string;
  /** Its number among the marks (`write-marks.ts`). */
  readonly part: number;
}

/** Memory that a program may be fed to write its vector to. */
export interface FlatMemory {
  /** Node of the memory. */
  readonly into: string;
  /** Where each part begins, in elements. */
  readonly offsets: readonly number[];
}

/** Adds `into` to a scope. @param sizes of the parts in the order of the vector; null where each run chooses, which the last may */
export function placeFlat(scope: GraphScope, sizes: readonly (number | null)[]): FlatMemory {
  if (sizes.slice(0, -1).includes(null))
    throw new Error("Cannot write a vector of which a part before the last is of any size");
  let end = 0;
  const offsets = sizes.map((size) => {
    const offset = end;
    end += size ?? 0;
    return offset;
  });
  return { into: scope.optionalFloats("into"), offsets };
}

/** Adds `marks`, `ticket`, `written` and `flat` to a scope. @param parts in the order of the vector */
export function writeFlat(
  scope: GraphScope,
  { into, offsets }: FlatMemory,
  parts: readonly FlatPart[],
): void {
  const marks = scope.placeholder("marks", dataTypes.int32, [alignedLength(parts.length)]);
  const ticket = scope.placeholder("ticket", dataTypes.int32, []);
  const written = parts.map(({ value, part }, index) => {
    const offset = offsets[index] ?? 0;
    const at = { offset: { kind: "int", int: offset }, part: { kind: "int", int: part } } as const;
    return scope.add("RingmasterWrite", [into, value, marks, ticket], at);
  });
  scope.after(written, "written");
  scope.concat(
    parts.map(({ value }) => scope.reshape(value, [-1])),
    "flat",
  );
}
