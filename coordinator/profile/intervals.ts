/** Sets of moments as sorted intervals that do not touch. Pure. */

/** From `start` until `end`, in whatever unit. */
export interface Interval {
  readonly start: number;
  readonly end: number;
}

/** All moments of some intervals, which may overlap. */
export function unionOf(intervals: readonly Interval[]): readonly Interval[] {
  const union: { start: number; end: number }[] = [];
  for (const { start, end } of intervals.toSorted((left, right) => left.start - right.start)) {
    const last = union.at(-1);
    if (end <= start) continue;
    if (last !== undefined && start <= last.end) last.end = Math.max(last.end, end);
    else union.push({ start, end });
  }
  return union;
}

/** The moments that are in both of two unions. */
export function bothOf(left: readonly Interval[], right: readonly Interval[]): readonly Interval[] {
  return left.flatMap((one) =>
    right
      .map((other) => ({
        start: Math.max(one.start, other.start),
        end: Math.min(one.end, other.end),
      }))
      .filter(({ start, end }) => start < end),
  );
}

/** How long a union is. */
export function lengthOf(union: readonly Interval[]): number {
  return union.reduce((sum, { start, end }) => sum + end - start, 0);
}
