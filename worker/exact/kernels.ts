/**
 * The hot loops of exact sums as WebAssembly SIMD over shared memory: `kernels.wasm`, built from
 * `assembly/kernels.ts`. All arrays must be views of the memory that the kernels were made with.
 */
import { readFileSync } from "node:fs";

/** What a quantised vector needs to be read. */
export interface Quantisation {
  /** Bounds of the blocks (`layOutBlocks`). */
  readonly bounds: Uint32Array;
  /** One biased exponent per block. */
  readonly exponents: Uint8Array;
  /** Bits of a magnitude (`magnitudeBits`). */
  readonly bits: number;
}

/** The loops. `reference.ts` has the same without WebAssembly. */
export interface ExactKernels {
  /** exponents[b] = max(exponents[b], largest biased exponent of the block's elements). */
  raiseExponents(exponents: Uint8Array, vector: Float32Array, bounds: Uint32Array): void;
  /** sums += round(vector · 2^k); blocks of exponent 255 are left alone. */
  quantiseAdd(sums: Int32Array, vector: Float32Array, options: Quantisation): void;
  /** Replaces each float by its integer round(vector · 2^k), in the same memory; blocks of exponent 255 are undefined. */
  quantiseInPlace(vector: Float32Array, options: Quantisation): void;
  /** vector += sums · 2^−k; blocks of exponent 255 become NaN. */
  scaleBackAdd(vector: Float32Array, sums: Int32Array, options: Quantisation): void;
  /** sums += others, wrapping. */
  addIntegers(sums: Int32Array, others: Int32Array): void;
  /** bytes = max(bytes, others). */
  maxBytes(bytes: Uint8Array, others: Uint8Array): void;
}

type Loop = (...pointers: number[]) => void;

function loopOf(exports: WebAssembly.Exports, name: string): Loop {
  const value = exports[name];
  if (typeof value !== "function") throw new Error(`Cannot use kernels.wasm as it lacks ${name}`);
  return value as Loop;
}

/** Makes the kernels over a shared memory. */
export function loadKernels(memory: WebAssembly.Memory): ExactKernels {
  const module = new WebAssembly.Module(readFileSync(new URL("./kernels.wasm", import.meta.url)));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const raise = loopOf(exports, "raiseExponents");
  const quantise = loopOf(exports, "quantiseAdd");
  const inPlace = loopOf(exports, "quantiseInPlace");
  const scaleBack = loopOf(exports, "scaleBackAdd");
  const add = loopOf(exports, "addIntegers");
  const max = loopOf(exports, "maxBytes");
  const at = (array: ArrayBufferView): number => {
    if (array.buffer !== memory.buffer)
      throw new Error("Cannot run a kernel on memory that is not its own");
    return array.byteOffset;
  };
  return {
    raiseExponents: (exponents, vector, bounds) =>
      raise(at(exponents), at(vector), at(bounds), bounds.length - 1),
    quantiseAdd: (sums, vector, { bounds, exponents, bits }) =>
      quantise(at(sums), at(vector), at(bounds), at(exponents), bounds.length - 1, bits),
    quantiseInPlace: (vector, { bounds, exponents, bits }) =>
      inPlace(at(vector), at(bounds), at(exponents), bounds.length - 1, bits),
    scaleBackAdd: (vector, sums, { bounds, exponents, bits }) =>
      scaleBack(at(vector), at(sums), at(bounds), at(exponents), bounds.length - 1, bits),
    addIntegers: (sums, others) => add(at(sums), at(others), sums.length),
    maxBytes: (bytes, others) => max(at(bytes), at(others), bytes.length),
  };
}
