/** The hot loops of the ring: plain functions over typed arrays, nothing allocated. */
import { ringChunkBytes } from "../../proto/limits.ts";

/** How what arrives is combined with what is here. */
export interface Combination<Vector extends Float32Array | Int32Array | Uint8Array> {
  /** `vector[start + i] = vector[start + i] ∘ data[i]`, for a payload of whole elements at any alignment. */
  into(vector: Vector, start: number, data: Uint8Array): void;
}

// Payloads arrive at any byte offset of their message; words need alignment. Calls never overlap: they do not wait.
const alignedBytes = new Uint8Array(ringChunkBytes);
const alignedFloats = new Float32Array(alignedBytes.buffer);
const alignedIntegers = new Int32Array(alignedBytes.buffer);

/** Adds float32: the result depends on the order of the ring. */
export const sumFloats: Combination<Float32Array> = {
  into(vector, start, data) {
    alignedBytes.set(data);
    const length = data.byteLength / 4;
    for (let i = 0; i < length; i++) {
      vector[start + i] = (vector[start + i] as number) + (alignedFloats[i] as number);
    }
  },
};

/** Adds int32, wrapping: the result depends on nothing but the values. */
export const sumIntegers: Combination<Int32Array> = {
  into(vector, start, data) {
    alignedBytes.set(data);
    const length = data.byteLength / 4;
    for (let i = 0; i < length; i++) {
      vector[start + i] = ((vector[start + i] as number) + (alignedIntegers[i] as number)) | 0;
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
