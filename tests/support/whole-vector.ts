/** A microbatch's vector with all rows of all tensors, as a sum over one microbatch would give it. */
import type { PhaseResult, PreparedPrograms } from "../../worker/engine/engine.ts";

/** Puts the touched rows of a given vector where they belong; the others are zero. */
export function wholeVector(
  { reductionParts, rowParts, reductionSize }: PreparedPrograms,
  given: Float32Array,
  { touched = [] }: PhaseResult,
): Float32Array {
  const whole = new Float32Array(reductionSize);
  let from = 0;
  let to = 0;
  for (const [part, size] of reductionParts.entries()) {
    const index = rowParts.findIndex((row) => row.part === part);
    if (index < 0) {
      whole.set(given.subarray(from, from + size), to);
      from += size;
    } else {
      const rowSize = size / rowParts[index]!.rows;
      const { rows, room } = touched[index]!;
      for (const [place, row] of rows.entries()) {
        const start = from + place * rowSize;
        whole.set(given.subarray(start, start + rowSize), to + row * rowSize);
      }
      from += room * rowSize;
    }
    to += size;
  }
  return whole;
}
