/** A microbatch's vector with all rows of all tensors, as a sum over one microbatch would give it. */
import type { PhaseResult, PreparedPrograms } from "../../worker/engine/engine.ts";

/** Puts the touched rows of a given vector where they belong; the others are zero. */
export function wholeVector(
  { reductionParts, rowParts, reductionSize }: PreparedPrograms,
  given: Float32Array,
  { touched = [] }: PhaseResult,
): Float32Array {
  const whole = new Float32Array(reductionSize);
  const offsetOf = (part: number): number =>
    reductionParts.slice(0, part).reduce((sum, size) => sum + size, 0);
  let from = 0;
  for (const [part, size] of reductionParts.entries()) {
    if (rowParts.some((row) => row.part === part)) continue;
    whole.set(given.subarray(from, from + size), offsetOf(part));
    from += size;
  }
  // Rows follow what is whole.
  for (const [index, { part, rows: count }] of rowParts.entries()) {
    const rowSize = reductionParts[part]! / count;
    const { rows, room } = touched[index]!;
    for (const [place, row] of rows.entries()) {
      const start = from + place * rowSize;
      whole.set(given.subarray(start, start + rowSize), offsetOf(part) + row * rowSize);
    }
    from += room * rowSize;
  }
  return whole;
}
