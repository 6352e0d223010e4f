/** What collectives are called with: a part for each rank. Pure. */
import type { Segment } from "./segments.ts";

/** Throws RangeError unless there is a segment for each rank, and they are the vector. */
export function checkSegments(
  segments: readonly Segment[],
  { length }: { readonly length: number },
  rankCount: number,
): void {
  let next = 0;
  for (const { start, end } of segments) next = start === next && end >= start ? end : Number.NaN;
  if (segments.length !== rankCount || next !== length)
    throw new RangeError(`Cannot scatter ${length} elements to ${segments.length} segments`);
}

/** Throws unless there is a size for each rank and the own one is right. */
export function checkSizes(
  own: Uint8Array,
  sizes: readonly number[],
  { rank, rankCount }: { readonly rank: number; readonly rankCount: number },
): void {
  if (sizes.length !== rankCount || sizes[rank] !== own.byteLength) {
    throw new RangeError(
      `Cannot gather parts as sizes for rank ${rank}: current value is [${sizes.join(", ")}]`,
    );
  }
}
