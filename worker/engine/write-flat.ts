/**
 * A program's outputs as one flat vector, given in two ways: written part by part into memory that is fed (on a CPU the fed
 * tensor *is* the caller's shared memory, so nothing is copied out), or fetched as a tensor like any other.
 */
import { dataTypes, type GraphScope } from "./graph-node.ts";
import { alignedLength } from "./shared-vector.ts";

/** One tensor of the vector. */
export interface FlatPart {
  /** float32 elements. */
  readonly size: number;
  /** Reference of its value, of any shape. */
  readonly value: string;
  /** Its number among the marks (`write-marks.ts`). */
  readonly part: number;
}

/** Adds `into`, `marks`, `ticket`, `written` and `flat` to a scope. @param parts in the order of the vector */
export function writeFlat(scope: GraphScope, parts: readonly FlatPart[]): void {
  const length = parts.reduce((sum, { size }) => sum + size, 0);
  const into = scope.placeholder("into", dataTypes.float32, [alignedLength(length)]);
  const marks = scope.placeholder("marks", dataTypes.int32, [alignedLength(parts.length)]);
  const ticket = scope.placeholder("ticket", dataTypes.int32, []);
  let offset = 0;
  const written = parts.map(({ size, value, part }) => {
    const at = { offset: { kind: "int", int: offset }, part: { kind: "int", int: part } } as const;
    offset += size;
    return scope.add("RingmasterWrite", [into, value, marks, ticket], at);
  });
  scope.after(written, "written");
  scope.concat(
    parts.map(({ value }) => scope.reshape(value, [-1])),
    "flat",
  );
}
