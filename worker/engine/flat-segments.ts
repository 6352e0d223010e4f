/**
 * How tensors lie in a flat vector, cut where memory can be shared: a segment begins and ends at multiples of 64 bytes, so
 * that a slice of the vector is a view of it. Most tensors are segments of their own; those that end elsewhere share one
 * with their neighbours. Pure.
 */
import { alignedElements, alignedLength } from "./shared-vector.ts";

/** Tensors `first` to `end` (exclusive) in one piece of the vector. */
export interface FlatSegment {
  readonly first: number;
  readonly end: number;
  /** Elements before it. */
  readonly offset: number;
  /** Elements, up to the next aligned place: the last segment may be longer than its tensors. */
  readonly size: number;
  /** Elements that belong to no tensor, at its end. */
  readonly padding: number;
}

/** Cuts the tensors of these sizes, one after the other, into segments. */
export function cutSegments(sizes: readonly number[]): readonly FlatSegment[] {
  const segments: FlatSegment[] = [];
  let first = 0;
  let offset = 0;
  let place = 0;
  for (const [index, size] of sizes.entries()) {
    place += size;
    const isLast = index === sizes.length - 1;
    if (place % alignedElements !== 0 && !isLast) continue;
    const end = alignedLength(place);
    if (end > offset) {
      const padding = end - place;
      segments.push({ first, end: index + 1, offset, size: end - offset, padding });
    }
    first = index + 1;
    offset = end;
  }
  return segments;
}
