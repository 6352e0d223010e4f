/** Sums of integers that fit into fewer bits than they are held in: only as many travel. */
import { sumOctets, sumShorts, type Combination } from "./accumulate.ts";
import type { Collectives, Vector } from "./collectives.ts";
import type { Segment } from "./segments.ts";

/** Bytes of the place where narrow integers lie while they travel; it grows to the largest vector. */
interface Place {
  buffer: ArrayBuffer;
}

/** Sums of narrow integers, in place; calls must not overlap. */
export interface NarrowSums {
  /** Every rank ends with the sums. */
  reduce(vector: Int32Array, bits: 8 | 16, signal: AbortSignal): Promise<void>;
  /** Each rank ends with the sums of its segment; the rest is undefined. */
  scatter(
    vector: Int32Array,
    bits: 8 | 16,
    segments: readonly Segment[],
    signal: AbortSignal,
  ): Promise<void>;
}

/** Makes the sums of one ring. */
export function narrowSumOver(collectives: Collectives): NarrowSums {
  const place: Place = { buffer: new ArrayBuffer(0) };
  const room = (bytes: number): ArrayBuffer => {
    if (place.buffer.byteLength < bytes) place.buffer = new ArrayBuffer(bytes);
    return place.buffer;
  };
  const through = async (
    vector: Int32Array,
    bits: 8 | 16,
    travel: Travel,
    { start, end }: Segment,
  ): Promise<void> => {
    const { length } = vector;
    if (bits === 16) {
      const narrow = new Int16Array(room(length * 2), 0, length);
      narrow.set(vector);
      await travel(narrow, sumShorts);
      vector.set(narrow.subarray(start, end), start);
    } else {
      const narrow = new Int8Array(room(length), 0, length);
      narrow.set(vector);
      await travel(narrow, sumOctets);
      vector.set(narrow.subarray(start, end), start);
    }
  };
  return {
    reduce: (vector, bits, signal) =>
      through(
        vector,
        bits,
        (narrow, combination) => collectives.allReduce(narrow, combination, signal),
        { start: 0, end: vector.length },
      ),
    scatter: (vector, bits, segments, signal) =>
      through(
        vector,
        bits,
        (narrow, combination) => collectives.scatterTo(narrow, combination, segments, signal),
        segments[collectives.rank] ?? { start: 0, end: 0 },
      ),
  };
}

/** What happens to the narrow integers. */
type Travel = <V extends Vector>(narrow: V, combination: Combination<V>) => Promise<void>;
