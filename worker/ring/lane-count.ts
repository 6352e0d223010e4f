/** Threads that a lane must find beside it: where there are fewer, lanes take from the compute more than they bring. */
const threadsOfLane = 4;
/** Two lanes move bytes faster than the main thread adds them up (docs/benchmarks.md, 2026-11-29). */
const lanesMax = 2;

/**
 * How many lanes a worker starts that is not told.
 * @param threads that it computes with
 */
export function laneCount(threads: number): number {
  return Math.min(lanesMax, Math.floor(threads / threadsOfLane));
}
