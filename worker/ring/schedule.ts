/** Who sends which segment when: the index rule of README.md. Pure. */

/** Hops of a reduce-scatter, or of an all-gather. */
export function hopsOfHalf(rankCount: number): number {
  return rankCount - 1;
}

function modulo(value: number, count: number): number {
  return ((value % count) + count) % count;
}

/** Segment that `rank` sends at `hop`. */
export function sentSegment(rank: number, rankCount: number, hop: number): number {
  return modulo(rank - hop, rankCount);
}

/** Segment that `rank` receives at `hop`: what its left neighbour sends. */
export function receivedSegment(rank: number, rankCount: number, hop: number): number {
  return modulo(rank - hop - 1, rankCount);
}

/**
 * The segment that `rank` owns after a reduce-scatter: the one it received last, whose sum is complete. The all-gather
 * half starts with it.
 */
export function ownedSegment(rank: number, rankCount: number): number {
  return modulo(rank + 1, rankCount);
}

/**
 * Bytes that each rank sends (and receives) in an all-reduce of `bytes`, averaged over ranks: 2·K·(N−1)/N.
 * Source: Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms for clusters of workstations" (2009).
 */
export function allReduceBytes(bytes: number, rankCount: number): number {
  return (2 * bytes * (rankCount - 1)) / rankCount;
}
