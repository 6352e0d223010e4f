/** Sums of integers that fit into fewer bits than they are held in: only as many travel. */
import { sumOctets, sumShorts } from "./accumulate.ts";
import type { Collectives } from "./collectives.ts";

/** Bytes of the place where narrow integers lie while they travel; it grows to the largest vector. */
interface Place {
  buffer: ArrayBuffer;
}

/** Makes the sum of one ring; calls must not overlap. */
export function narrowSumOver(
  collectives: Collectives,
): (vector: Int32Array, bits: 8 | 16, signal: AbortSignal) => Promise<void> {
  const place: Place = { buffer: new ArrayBuffer(0) };
  return async (vector, bits, signal) => {
    const bytes = vector.length * (bits / 8);
    if (place.buffer.byteLength < bytes) place.buffer = new ArrayBuffer(bytes);
    if (bits === 16) {
      const narrow = new Int16Array(place.buffer, 0, vector.length);
      narrow.set(vector);
      await collectives.allReduce(narrow, sumShorts, signal);
      vector.set(narrow);
    } else {
      const narrow = new Int8Array(place.buffer, 0, vector.length);
      narrow.set(vector);
      await collectives.allReduce(narrow, sumOctets, signal);
      vector.set(narrow);
    }
  };
}
