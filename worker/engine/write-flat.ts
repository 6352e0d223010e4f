/**
 * A program's outputs as one flat vector, given in two ways: written part by part into memory that is fed (on a CPU the fed
 * tensor *is* the caller's shared memory, so nothing is copied out), or fetched as a tensor like any other.
 */
import { anyLength } from "../model/input-shape.ts";
import { dataTypes, type GraphScope } from "./graph-node.ts";
import { alignedLength } from "./shared-vector.ts";

/** One tensor of the vector. */
export interface FlatPart {
  /** float32 elements; null where each run chooses, which the last tensor may. */
  readonly size: number | null;
  /** Reference of its value, of any shape. */
  readonly value: string;
  /** Its number among the marks (`write-marks.ts`). */
  readonly part: number;
}

/** Adds `into`, `marks`, `ticket`, `written` and `flat` to a scope. @param parts in the order of the vector */
export function writeFlat(scope: GraphScope, parts: readonly FlatPart[]): void {
  if (parts.slice(0, -1).some(({ size }) => size === null))
    throw new Error("Cannot write a vector of which a part before the last is of any size");
  const length = parts.reduce((sum, { size }) => sum + (size ?? 0), 0);
  const isOpen = parts.at(-1)?.size === null;
  const shape = [isOpen ? anyLength : alignedLength(length)];
  const into = scope.placeholder("into", dataTypes.float32, shape);
  const marks = scope.placeholder("marks", dataTypes.int32, [alignedLength(parts.length)]);
  const ticket = scope.placeholder("ticket", dataTypes.int32, []);
  let offset = 0;
  const written = parts.map(({ size, value, part }) => {
    const at = { offset: { kind: "int", int: offset }, part: { kind: "int", int: part } } as const;
    offset += size ?? 0;
    return scope.add("RingmasterWrite", [into, value, marks, ticket], at);
  });
  scope.after(written, "written");
  scope.concat(
    parts.map(({ value }) => scope.reshape(value, [-1])),
    "flat",
  );
}
