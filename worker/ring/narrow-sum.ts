/** Sums of integers that fit into fewer bits than they are held in: only as many travel. */
import { Arena, arenaBytes, convertIntegers, kernelsOf } from "../exact/arena.ts";
import { sumOctets, sumShorts, type Combination } from "./accumulate.ts";
import type { Collectives, Vector } from "./collectives.ts";
import type { Segment } from "./segments.ts";

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

/**
 * The place where narrow integers lie while they travel, in an arena of its own, where they are added up as they lie. It grows to
 * the largest vector, at least twofold.
 */
class Place {
  #bytes: Uint8Array = new Uint8Array(0);

  /** @param like integers of an arena, whose loops are to be used; others are for WebAssembly's */
  room(bytes: number, like: Int32Array): Uint8Array {
    if (this.#bytes.byteLength < bytes) {
      const more = Math.max(bytes, 2 * this.#bytes.byteLength);
      const loops = kernelsOf(like)?.loops ?? null;
      this.#bytes = new Arena(arenaBytes(more), { loops }).bytes(more);
    }
    return this.#bytes;
  }
}

/** Makes the sums of one ring. */
export function narrowSumOver(collectives: Collectives): NarrowSums {
  const place = new Place();
  const through = async (
    vector: Int32Array,
    bits: 8 | 16,
    travel: Travel,
    { start, end }: Segment,
  ): Promise<void> => {
    const { length } = vector;
    const { buffer, byteOffset } = place.room((length * bits) / 8, vector);
    if (bits === 16) {
      const narrow = new Int16Array(buffer, byteOffset, length);
      convertIntegers(narrow, vector);
      await travel(narrow, sumShorts);
      convertIntegers(vector.subarray(start, end), narrow.subarray(start, end));
    } else {
      const narrow = new Int8Array(buffer, byteOffset, length);
      convertIntegers(narrow, vector);
      await travel(narrow, sumOctets);
      convertIntegers(vector.subarray(start, end), narrow.subarray(start, end));
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
