/** The hot loops of the ring: plain functions over typed arrays, nothing allocated. */
import { ringChunkBytes } from "../../proto/limits.ts";

/** How what arrives is combined with what is here. */
export interface Combination<Vector extends Float32Array | Int32Array | Uint8Array> {
  /** `vector[start + i] = vector[start + i] ∘ data[i]`, for a payload of whole elements at any alignment. */
  into(vector: Vector, start: number, data: Uint8Array): void;
}

// Payloads that come in a message start at any byte; words need alignment. Calls never overlap: they do not wait.
const alignedBytes = new Uint8Array(ringChunkBytes);

function aligned(data: Uint8Array): Uint8Array {
  if (data.byteOffset % 4 === 0) return data;
  alignedBytes.set(data);
  return alignedBytes.subarray(0, data.byteLength);
}

/** Adds float32: the result depends on the order of the ring. */
export const sumFloats: Combination<Float32Array> = {
  into(vector, start, data) {
    const { buffer, byteOffset, byteLength } = aligned(data);
    const floats = new Float32Array(buffer, byteOffset, byteLength / 4);
    const length = floats.length;
    for (let i = 0; i < length; i++) {
      vector[start + i] = (vector[start + i] as number) + (floats[i] as number);
    }
  },
};

/** Adds int32, wrapping: the result depends on nothing but the values. */
export const sumIntegers: Combination<Int32Array> = {
  into(vector, start, data) {
    const { buffer, byteOffset, byteLength } = aligned(data);
    const integers = new Int32Array(buffer, byteOffset, byteLength / 4);
    const length = integers.length;
    for (let i = 0; i < length; i++) {
      vector[start + i] = ((vector[start + i] as number) + (integers[i] as number)) | 0;
    }
  },
};

/** Keeps the larger byte. */
export const maxBytes: Combination<Uint8Array> = {
  into(vector, start, data) {
    const length = data.byteLength;
    for (let i = 0; i < length; i++) {
      const other = data[i] as number;
      if (other > (vector[start + i] as number)) vector[start + i] = other;
    }
  },
};
