/**
 * A program's outputs as one flat vector, given in two ways: written in place into memory that is fed (on a CPU the fed
 * tensor *is* the caller's shared memory, so nothing is copied out), or fetched as a tensor like any other.
 */
import { cutSegments } from "./flat-segments.ts";
import { dataTypes, typeOf, type GraphScope } from "./graph-node.ts";
import { alignedLength } from "./shared-vector.ts";

/**
 * Adds `into`, `written` and `flat` to a scope.
 * @param sizes elements of each value
 * @param values references of float32 values of any shape, in order
 */
export function writeFlat(
  scope: GraphScope,
  sizes: readonly number[],
  values: readonly string[],
): void {
  const length = sizes.reduce((sum, size) => sum + size, 0);
  const into = scope.placeholder("into", dataTypes.float32, [alignedLength(length)]);
  const firstRow = scope.ints([0]);
  const written = cutSegments(sizes).map((segment) => {
    const { first, end, offset, size, padding } = segment;
    const parts = values.slice(first, end).map((value) => scope.reshape(value, [-1]));
    if (padding > 0)
      parts.push(
        scope.floats(
          Array.from({ length: padding }, () => 0),
          [padding],
        ),
      );
    const row = scope.reshape(parts.length === 1 ? (parts[0] ?? "") : scope.concat(parts), [
      1,
      size,
    ]);
    const target = scope.reshape(scope.slice(into, offset, size), [1, size]);
    // The kernel writes into its first input's memory, which is a view of what was fed.
    return scope.add("InplaceUpdate", [target, firstRow, row], { T: typeOf(dataTypes.float32) });
  });
  scope.after(written, "written");
  scope.concat(
    values.map((value) => scope.reshape(value, [-1])),
    "flat",
  );
}
