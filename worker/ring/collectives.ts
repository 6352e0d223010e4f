/**
 * The collectives, over any link. Each is a walk of the schedule in README.md: send the own part; add or copy every chunk
 * that arrives, and pass it on unless that was the last hop. Costs for K bytes and N ranks, sent by each:
 *
 *   reduce-scatter   N − 1 hops      K (N−1)/N
 *   all-gather       N − 1 hops      K (N−1)/N
 *   all-reduce       2 (N−1) hops    2 K (N−1)/N
 *   broadcast        ≤ N − 1 hops    K (0 for the last)
 *   barrier          N − 1 hops      N − 1 bytes
 */
import { copyBytes } from "../exact/arena.ts";
import { checkSegments, checkSizes } from "./check-parts.ts";
import { combineInto, type Combination } from "./accumulate.ts";
import { checkChunk, cutChunks, settle, walkRing, type Place } from "./ring-walk.ts";
import { hopsOfHalf, ownedSegment, receivedSegment, sentSegment } from "./schedule.ts";
import { cutSegments, type Segment } from "./segments.ts";

/** A rank's place in the ring. */
export type { Place } from "./ring-walk.ts";

/** What can be reduced. */
export type Vector = Float32Array | Int32Array | Int16Array | Int8Array | Uint8Array;

/**
 * The collectives of one rank, however they travel. All ranks call the same ones in the same order, with vectors of the
 * same lengths. Every call rejects with LinkBroken when a rank is gone, or with the signal's reason; the collectives
 * cannot be used after that.
 */
export interface Collectives {
  readonly rank: number;
  readonly rankCount: number;
  /** Combines a vector over all ranks, in place; every rank ends with the same bits. */
  allReduce<V extends Vector>(
    vector: V,
    combination: Combination<V>,
    signal: AbortSignal,
  ): Promise<void>;
  /**
   * Combines a vector over all ranks; afterwards only the returned segment of it holds the result, the rest is undefined.
   * Over all ranks the segments make up the vector.
   */
  reduceScatter<V extends Vector>(
    vector: V,
    combination: Combination<V>,
    signal: AbortSignal,
  ): Promise<Segment>;
  /**
   * The same for segments of any sizes: afterwards the own one holds the result, the rest is undefined.
   * @param segments by rank, ascending, the same on all; together they are the vector
   */
  scatterTo<V extends Vector>(
    vector: V,
    combination: Combination<V>,
    segments: readonly Segment[],
    signal: AbortSignal,
  ): Promise<void>;
  /** Completes a vector of which each rank holds the segment that `reduceScatter` returned, in place. */
  allGatherSegments(vector: Vector, signal: AbortSignal): Promise<void>;
  /** Gathers one part from each rank, by rank; `sizes` are the parts' bytes, the same on all ranks. */
  allGather(
    own: Uint8Array,
    sizes: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>;
  /** The same in place: fills the others' parts. @param parts by rank, of the same sizes on all; the own one is given */
  fillParts(parts: readonly Uint8Array[], signal: AbortSignal): Promise<void>;
  /** Gives every rank the bytes that `root` holds, in place. */
  broadcast(bytes: Uint8Array, root: number, signal: AbortSignal): Promise<void>;
  /** Returns when every rank has called it. */
  barrier(signal: AbortSignal): Promise<void>;
}

/** The collectives over a link. */
export function collectivesOver(place: Place): Collectives {
  return {
    rank: place.rank,
    rankCount: place.rankCount,
    allReduce: (vector, combination, signal) => allReduce(place, vector, combination, signal),
    reduceScatter: (vector, combination, signal) =>
      reduceScatter(place, vector, combination, signal),
    scatterTo: (vector, combination, segments, signal) =>
      scatterTo(place, vector, { combination, segments }, signal),
    allGatherSegments: (vector, signal) => allGatherSegments(place, vector, signal),
    allGather: (own, sizes, signal) => allGather(place, own, sizes, signal),
    fillParts: (parts, signal) => fillParts(place, parts, signal),
    broadcast: (bytes, root, signal) => broadcast(place, bytes, root, signal),
    barrier: (signal) => barrier(place, signal),
  };
}

function part(vector: Vector, segment: Segment | undefined): Uint8Array {
  if (segment === undefined) {
    throw new RangeError("Cannot take part of vector as segment is unknown");
  }
  const width = vector.BYTES_PER_ELEMENT;
  const { start, end } = segment;
  return new Uint8Array(vector.buffer, vector.byteOffset + start * width, (end - start) * width);
}

/** Walks hops of the all-reduce schedule over a vector: the first half combines, the second copies. */
async function walkVector<V extends Vector>(
  place: Place,
  vector: V,
  hops: {
    readonly first: number;
    readonly last: number;
    /** Absent where no hop combines. */
    readonly combination?: Combination<V>;
    /** In the order of the schedule; absent for as equal ones as there can be. */
    readonly segments?: readonly Segment[];
  },
  signal: AbortSignal,
): Promise<void> {
  const { rank, rankCount } = place;
  const segments = hops.segments ?? cutSegments(vector.length, rankCount);
  const half = hopsOfHalf(rankCount);
  const at = (hop: number): Uint8Array =>
    part(vector, segments[receivedSegment(rank, rankCount, hop)]);
  const combinationAt = (hop: number): Combination<V> | null =>
    hop < half ? (hops.combination ?? null) : null;
  await walkRing(
    place,
    {
      firstHop: hops.first,
      lastHop: hops.last,
      bytesAt: (hop) => at(hop).byteLength,
      own: part(vector, segments[sentSegment(rank, rankCount, hops.first)]),
      landingAt: (hop) => (combinationAt(hop) === null ? at(hop) : null),
      take: (hop, offset, data) => {
        const target = at(hop).subarray(offset, offset + data.byteLength);
        const combination = combinationAt(hop);
        if (combination === null) {
          settle(target, data);
        } else {
          combineInto(target, combination, [
            (other, start) => copyBytes(other, data.subarray(start, start + other.byteLength)),
          ]);
        }
        return target;
      },
    },
    signal,
  );
}

/** Combines a vector over all ranks, in place; every rank ends with the same bits. */
export async function allReduce<V extends Vector>(
  place: Place,
  vector: V,
  combination: Combination<V>,
  signal: AbortSignal,
): Promise<void> {
  if (place.rankCount === 1) return;
  const last = 2 * hopsOfHalf(place.rankCount) - 1;
  await walkVector(place, vector, { first: 0, last, combination }, signal);
}

/**
 * Combines a vector over all ranks; afterwards only the returned segment of it holds the result, the rest is undefined.
 * Over all ranks the segments make up the vector.
 */
export async function reduceScatter<V extends Vector>(
  place: Place,
  vector: V,
  combination: Combination<V>,
  signal: AbortSignal,
): Promise<Segment> {
  const segments = cutSegments(vector.length, place.rankCount);
  if (place.rankCount > 1) {
    const last = hopsOfHalf(place.rankCount) - 1;
    await walkVector(place, vector, { first: 0, last, combination }, signal);
  }
  const owned = segments[place.rankCount === 1 ? 0 : ownedSegment(place.rank, place.rankCount)];
  if (owned === undefined) {
    throw new RangeError(`Cannot own a segment as rank: current value is ${place.rank}`);
  }
  return owned;
}

/** A reduce-scatter after which each rank has the segment of its number. */
async function scatterTo<V extends Vector>(
  place: Place,
  vector: V,
  {
    combination,
    segments,
  }: { readonly combination: Combination<V>; readonly segments: readonly Segment[] },
  signal: AbortSignal,
): Promise<void> {
  const { rankCount } = place;
  checkSegments(segments, vector, rankCount);
  if (rankCount === 1) return;
  // The schedule leaves rank r with segment r + 1.
  const scheduled = segments.map(
    (_, index) => segments[(index + rankCount - 1) % rankCount] ?? { start: 0, end: 0 },
  );
  const last = hopsOfHalf(rankCount) - 1;
  await walkVector(place, vector, { first: 0, last, combination, segments: scheduled }, signal);
}

/** Completes a vector of which each rank holds the segment that `reduceScatter` returned, in place. */
export async function allGatherSegments(
  place: Place,
  vector: Vector,
  signal: AbortSignal,
): Promise<void> {
  const half = hopsOfHalf(place.rankCount);
  if (half > 0) await walkVector(place, vector, { first: half, last: 2 * half - 1 }, signal);
}

/**
 * Gathers one part from each rank.
 * @param sizes bytes of each rank's part, by rank; the same on all ranks
 * @returns the parts by rank, the own one included
 */
export async function allGather(
  place: Place,
  own: Uint8Array,
  sizes: readonly number[],
  signal: AbortSignal,
): Promise<readonly Uint8Array[]> {
  checkSizes(own, sizes, place);
  const parts = sizes.map((size, rank) => (rank === place.rank ? own : new Uint8Array(size)));
  await fillParts(place, parts, signal);
  return parts;
}

/** Fills the other ranks' parts in place. @param parts by rank, of the same sizes on all ranks; the own one is given */
export async function fillParts(
  place: Place,
  parts: readonly Uint8Array[],
  signal: AbortSignal,
): Promise<void> {
  const { rank, rankCount } = place;
  if (rankCount === 1) return;
  const own = parts[rank];
  if (own === undefined || parts.length !== rankCount) {
    throw new RangeError(`Cannot fill ${parts.length} parts as rank ${rank} of ${rankCount}`);
  }
  const at = (hop: number): Uint8Array => parts[receivedSegment(rank, rankCount, hop)] ?? own;
  await walkRing(
    place,
    {
      firstHop: 0,
      lastHop: hopsOfHalf(rankCount) - 1,
      bytesAt: (hop) => at(hop).byteLength,
      own,
      landingAt: at,
      take: (hop, offset, data) => {
        const target = at(hop).subarray(offset, offset + data.byteLength);
        settle(target, data);
        return target;
      },
    },
    signal,
  );
}

/** Gives every rank the bytes that `root` holds, in place. */
export async function broadcast(
  place: Place,
  bytes: Uint8Array,
  root: number,
  signal: AbortSignal,
): Promise<void> {
  const { rank, rankCount, link } = place;
  const distance = (rank - root + rankCount) % rankCount;
  if (distance === 0 && rankCount > 1) {
    for (const { offset, data } of cutChunks(bytes)) {
      await link.send({ collective: place.collective, hop: 0, offset, data }, signal);
    }
  }
  for (let received = 0; distance > 0 && received < bytes.byteLength;) {
    const chunk = await link.receive(signal);
    checkChunk(chunk, place, {
      firstHop: distance - 1,
      lastHop: distance - 1,
      bytesAt: () => bytes.byteLength,
      own: bytes,
      landingAt: () => null,
      take: (_hop, _offset, data) => data,
    });
    copyBytes(bytes.subarray(chunk.offset), chunk.data);
    received += chunk.data.byteLength;
    if (distance < rankCount - 1) {
      const { offset } = chunk;
      const data = bytes.subarray(offset, offset + chunk.data.byteLength);
      await link.send({ ...chunk, hop: distance, data }, signal);
    }
  }
  if (rankCount > 1) await link.flush(signal);
  place.collective += 1;
}

/** Returns when every rank has called it. */
export async function barrier(place: Place, signal: AbortSignal): Promise<void> {
  const sizes = Array.from({ length: place.rankCount }, () => 1);
  await allGather(place, new Uint8Array(1), sizes, signal);
}
