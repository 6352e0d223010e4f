/**
 * The hot loops of exact sums in plain TypeScript: what `kernels.wasm` computes, bit by bit. Property tests compare the
 * two; nothing else runs this.
 */
import type { ExactKernels } from "./kernels.ts";

const floatBits = new Float32Array(1);
const intBits = new Uint32Array(floatBits.buffer);

function biasedExponent(value: number): number {
  floatBits[0] = value;
  return ((intBits[0] ?? 0) >>> 23) & 255;
}

/** Rounds to nearest, ties to even, as SIMD's `nearest` does. */
function nearest(value: number): number {
  const floor = Math.floor(value);
  const difference = value - floor;
  if (difference < 0.5) return floor;
  if (difference > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

function forBlocks(
  bounds: Uint32Array,
  use: (block: number, start: number, end: number) => void,
): void {
  for (let block = 0; block + 1 < bounds.length; block++) {
    use(block, bounds[block] ?? 0, bounds[block + 1] ?? 0);
  }
}

/** The kernels without WebAssembly. */
export const referenceKernels: ExactKernels = {
  raiseExponents(exponents, vector, bounds) {
    forBlocks(bounds, (block, start, end) => {
      for (let i = start; i < end; i++) {
        exponents[block] = Math.max(exponents[block] ?? 0, biasedExponent(vector[i] ?? 0));
      }
    });
  },
  quantiseAdd(sums, vector, options) {
    forBlocks(options.bounds, (block, start, end) => {
      const exponent = options.exponents[block] ?? 0;
      if (exponent === 255) return;
      const scale = 2 ** (options.bits + 126 - Math.max(exponent, 1));
      for (let i = start; i < end; i++) {
        sums[i] = ((sums[i] ?? 0) + nearest((vector[i] ?? 0) * scale)) | 0;
      }
    });
  },
  quantiseInPlace(vector, options) {
    const integers = new Int32Array(vector.buffer, vector.byteOffset, vector.length);
    const sums = new Int32Array(vector.length);
    this.quantiseAdd(sums, vector, options);
    integers.set(sums);
  },
  scaleBackAdd(vector, sums, options) {
    forBlocks(options.bounds, (block, start, end) => {
      const exponent = options.exponents[block] ?? 0;
      const scale =
        exponent === 255 ? Number.NaN : 2 ** (Math.max(exponent, 1) - 126 - options.bits);
      for (let i = start; i < end; i++) {
        // The integer is rounded to a float32 first, as SIMD converts it.
        vector[i] = (vector[i] ?? 0) + Math.fround(Math.fround(sums[i] ?? 0) * scale);
      }
    });
  },
  addIntegers(sums, others) {
    for (let i = 0; i < sums.length; i++) sums[i] = ((sums[i] ?? 0) + (others[i] ?? 0)) | 0;
  },
  maxBytes(bytes, others) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.max(bytes[i] ?? 0, others[i] ?? 0);
  },
};
