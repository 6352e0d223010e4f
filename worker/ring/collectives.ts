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
import { ringChunkBytes } from "../../proto/limits.ts";
import type { Combination } from "./accumulate.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { LinkBroken, type Chunk, type Link } from "./link.ts";
import { hopsOfHalf, ownedSegment, receivedSegment, sentSegment } from "./schedule.ts";
import { cutSegments, type Segment } from "./segments.ts";

/** A rank's place, and the count of its collectives: all ranks call the same collectives in the same order. */
export interface Place {
  readonly rank: number;
  readonly rankCount: number;
  readonly link: Link;
  /** Next collective's number; advanced by each call. */
  collective: number;
}

/** What to do with a chunk that has arrived, and whether its content is wanted further on. */
interface Walk {
  /** First and last hop, inclusive. */
  readonly firstHop: number;
  readonly lastHop: number;
  /** Bytes of the segment that is received at a hop. */
  bytesAt(hop: number): number;
  /** The part to send at the first hop. */
  readonly own: Uint8Array;
  /** Takes the chunk in and returns the bytes to pass on. */
  take(hop: number, offset: number, data: Uint8Array): Uint8Array;
}

function cutChunks(whole: Uint8Array): { readonly offset: number; readonly data: Uint8Array }[] {
  const count = Math.ceil(whole.byteLength / ringChunkBytes);
  return Array.from({ length: count }, (_, index) => {
    const offset = index * ringChunkBytes;
    return { offset, data: whole.subarray(offset, offset + ringChunkBytes) };
  });
}

function checkChunk(chunk: Chunk, place: Place, walk: Walk): void {
  const known =
    chunk.collective === place.collective &&
    chunk.hop >= walk.firstHop &&
    chunk.hop <= walk.lastHop;
  if (!known || chunk.offset + chunk.data.byteLength > walk.bytesAt(chunk.hop)) {
    throw new LinkBroken(
      `Cannot take chunk of collective ${chunk.collective}, hop ${chunk.hop}, offset ${chunk.offset}, ` +
        `${chunk.data.byteLength} bytes as part of collective ${place.collective}, hops ${walk.firstHop} to ${walk.lastHop}`,
    );
  }
}

async function walkRing(place: Place, walk: Walk, signal: AbortSignal): Promise<void> {
  let toReceive = 0;
  let toSend = walk.own.byteLength;
  for (let hop = walk.firstHop; hop <= walk.lastHop; hop++) {
    toReceive += walk.bytesAt(hop);
    if (hop < walk.lastHop) toSend += walk.bytesAt(hop);
  }
  // What is to be sent waits here by reference, never by copy: who receives must not wait for who sends, or a ring of full
  // windows would wait for itself. What waits is not overwritten before: its place changes only after it has gone round.
  const outgoing = new ChunkQueue<Chunk>(Number.POSITIVE_INFINITY);
  const collective = place.collective;
  for (const { offset, data } of cutChunks(walk.own)) {
    await outgoing.push({ collective, hop: walk.firstHop, offset, data }, signal);
  }
  const sendAll = async (): Promise<void> => {
    for (let sent = 0; sent < toSend;) {
      const chunk = await outgoing.shift(signal);
      await place.link.send(chunk, signal);
      sent += chunk.data.byteLength;
    }
  };
  const receiveAll = async (): Promise<void> => {
    for (let received = 0; received < toReceive;) {
      const chunk = await place.link.receive(signal);
      checkChunk(chunk, place, walk);
      received += chunk.data.byteLength;
      const data = walk.take(chunk.hop, chunk.offset, chunk.data);
      if (chunk.hop < walk.lastHop)
        await outgoing.push({ ...chunk, hop: chunk.hop + 1, data }, signal);
    }
  };
  try {
    await Promise.all([sendAll(), receiveAll()]);
  } finally {
    outgoing.close(new LinkBroken("the collective is over"));
  }
  place.collective += 1;
}

/** What can be reduced. */
export type Vector = Float32Array | Int32Array | Uint8Array;

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
  },
  signal: AbortSignal,
): Promise<void> {
  const { rank, rankCount } = place;
  const segments = cutSegments(vector.length, rankCount);
  const half = hopsOfHalf(rankCount);
  const at = (hop: number): Uint8Array =>
    part(vector, segments[receivedSegment(rank, rankCount, hop)]);
  await walkRing(
    place,
    {
      firstHop: hops.first,
      lastHop: hops.last,
      bytesAt: (hop) => at(hop).byteLength,
      own: part(vector, segments[sentSegment(rank, rankCount, hops.first)]),
      take: (hop, offset, data) => {
        const target = at(hop).subarray(offset, offset + data.byteLength);
        if (hop >= half || hops.combination === undefined) {
          target.set(data);
        } else {
          const start = (target.byteOffset - vector.byteOffset) / vector.BYTES_PER_ELEMENT;
          hops.combination.into(vector, start, data);
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
  const { rank, rankCount } = place;
  if (sizes.length !== rankCount || sizes[rank] !== own.byteLength) {
    throw new RangeError(
      `Cannot gather parts as sizes for rank ${rank}: current value is [${sizes.join(", ")}]`,
    );
  }
  const parts = sizes.map((size, index) => (index === rank ? own : new Uint8Array(size)));
  const at = (hop: number): Uint8Array => parts[receivedSegment(rank, rankCount, hop)] ?? own;
  if (rankCount === 1) return parts;
  await walkRing(
    place,
    {
      firstHop: 0,
      lastHop: hopsOfHalf(rankCount) - 1,
      bytesAt: (hop) => at(hop).byteLength,
      own,
      take: (hop, offset, data) => {
        const target = at(hop).subarray(offset, offset + data.byteLength);
        target.set(data);
        return target;
      },
    },
    signal,
  );
  return parts;
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
      take: (_hop, _offset, data) => data,
    });
    bytes.set(chunk.data, chunk.offset);
    received += chunk.data.byteLength;
    if (distance < rankCount - 1) await link.send({ ...chunk, hop: distance }, signal);
  }
  place.collective += 1;
}

/** Returns when every rank has called it. */
export async function barrier(place: Place, signal: AbortSignal): Promise<void> {
  const sizes = Array.from({ length: place.rankCount }, () => 1);
  await allGather(place, new Uint8Array(1), sizes, signal);
}
