/** Cuts a vector into one segment per rank. Pure. */

/** Bounds of one segment, in elements: `[start, end)`. */
export interface Segment {
  readonly start: number;
  readonly end: number;
}

/**
 * Cuts `length` elements into `count` segments whose sizes differ by at most one. The first segments are the largest,
 * so segment 0 bounds the size of all. With fewer elements than ranks the last segments are empty.
 */
export function cutSegments(length: number, count: number): readonly Segment[] {
  const base = Math.floor(length / count);
  const larger = length % count;
  return Array.from({ length: count }, (_, index) => {
    const start = index * base + Math.min(index, larger);
    return { start, end: start + base + (index < larger ? 1 : 0) };
  });
}
