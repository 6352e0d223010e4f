/**
 * The hot loops of exact sums as WebAssembly SIMD over shared memory: `kernels.wasm`, built from
 * `assembly/kernels.ts`. All arrays must be views of the memory that the kernels were made with.
 */
import { readFileSync } from "node:fs";
import type { Loop, loopNames, MemoryLoops } from "./native-loops.ts";

/** What is known of each block of a vector. */
export interface Grid {
  /** Bounds of the blocks in the vector (`layOutBlocks`). */
  readonly bounds: Uint32Array;
  /** Exponent bytes: 0 where all is zero, 255 where something is not finite. */
  readonly exponents: Uint8Array;
  /** Where a block's integers begin among the sums; without meaning for exponent 0. */
  readonly places: Uint32Array;
  /** What lies in the vector: 0 zeros, 1 values of this step, 2 what is left of another step. */
  readonly filled: Uint8Array;
  /** Σ x² of each block that holds values of this step; of the others without meaning. */
  readonly squares: Float64Array;
}

/** Blocks whose elements lie one after the other, in one or several microbatches' vectors. */
export interface Run {
  /** Per microbatch a view that begins with the run's first element. */
  readonly sources: readonly Float32Array[];
  /** A key for each microbatch, by which its values are rounded up or down at random; null rounds to the nearest. */
  readonly keys: readonly number[] | null;
  /** Numbers of the blocks. */
  readonly blocks: Uint32Array;
}

/** The loops. `bits` are those of a magnitude (`magnitudeBits`). `reference.ts` has the same without WebAssembly. */
export interface ExactKernels {
  /** Raises the exponents of a run's blocks to those of its elements. */
  raiseExponents(run: Run, grid: Grid): void;
  /**
   * Puts Σ round(source · 2^k) of a run's blocks to their places, or adds it to what is there. `sums` may be the first
   * source's own memory where no block's place lies behind its elements.
   */
  quantise(
    sums: Int32Array,
    run: Run,
    options: {
      readonly grid: Grid;
      readonly bits: number;
      readonly add: boolean;
      /** Integers that lie as the run's elements do, to be added; where a block's exponent is 0 they are zeros or left out. */
      readonly others?: Int32Array | null;
    },
  ): void;
  /**
   * Brings a whole vector up to date: sums · 2^−k, added where values of this step are; 0; or NaN for exponent 255. Squares of
   * what was written are summed while it lies in the processor's cache.
   */
  scaleBack(
    vector: Float32Array,
    sums: Int32Array,
    options: {
      readonly grid: Grid;
      readonly bits: number;
      /** Blocks from `first` on have `bits` of their own; absent where all have the same. */
      readonly wide?: { readonly first: number; readonly bits: number };
    },
  ): void;
  /**
   * All three for a run's blocks that no other rank adds to any more, in one pass; places are not used, and exponents only
   * where others have added something.
   */
  sumAlone(
    vector: Float32Array,
    run: Run,
    options: {
      readonly grid: Grid;
      readonly bits: number;
      /** As those of `quantise`. */
      readonly others?: Int32Array | null;
    },
  ): void;
  /** squares[b] = Σ x² of each block of a vector, as `scaleBack` sums them. */
  sumSquares(squares: Float64Array, vector: Float32Array, bounds: Uint32Array): void;
  /** sums += others, wrapping. */
  addIntegers(sums: Int32Array, others: Int32Array): void;
  /** Σ of integers, modulo 2³², from −2³¹ to below 2³¹. */
  checksum(integers: Int32Array): number;
  addFloats(sums: Float32Array, others: Float32Array): void;
  addShorts(sums: Int16Array, others: Int16Array): void;
  addOctets(sums: Int8Array, others: Int8Array): void;
  /** bytes = max(bytes, others). */
  maxBytes(bytes: Uint8Array, others: Uint8Array): void;
}

/** Where the pointers to a run's sources lie; memory below `firstFree` is the kernels' own. */
const pointersAt = 256;
/** First byte of the memory that arrays may take. */
export const firstFree = 2048;
const sourcesMax = (firstFree - pointersAt) / 8;
/** Where their keys lie. */
const keysAt = pointersAt + 4 * sourcesMax;

function loopOf(exports: WebAssembly.Exports, name: string): Loop {
  const value = exports[name];
  if (typeof value !== "function") throw new Error(`Cannot use kernels.wasm as it lacks ${name}`);
  return value as Loop;
}

/**
 * Makes the kernels over a shared memory. They throw RangeError for a run of more than 224 sources.
 * @param native loops over that memory, which take the place of WebAssembly's where they can; default none
 */
export function loadKernels(
  memory: WebAssembly.Memory,
  native: MemoryLoops | null = null,
): ExactKernels {
  const module = new WebAssembly.Module(readFileSync(new URL("./kernels.wasm", import.meta.url)));
  const { exports } = new WebAssembly.Instance(module, { env: { memory } });
  const fastest = (name: (typeof loopNames)[number]): Loop =>
    native === null ? loopOf(exports, name) : (...values) => native[name](...values);
  const raise = fastest("raiseExponents");
  const quantise = fastest("quantise");
  const scaleBack = fastest("scaleBack");
  const alone = fastest("sumAlone");
  const sumSquares = loopOf(exports, "sumSquares");
  const addIntegers = fastest("addIntegers");
  const checksum = loopOf(exports, "checksum");
  const addFloats = loopOf(exports, "addFloats");
  const addShorts = loopOf(exports, "addShorts");
  const addOctets = loopOf(exports, "addOctets");
  const max = loopOf(exports, "maxBytes");
  const at = (array: ArrayBufferView): number => {
    if (array.buffer !== memory.buffer)
      throw new Error("Cannot run a kernel on memory that is not its own");
    return array.byteOffset;
  };
  const pointers = new Uint32Array(memory.buffer, pointersAt, sourcesMax);
  const keysOfSources = new Uint32Array(memory.buffer, keysAt, sourcesMax);
  /** Sources, their keys, their count, blocks and their count, as the kernels take them. */
  const runOf = ({ sources, keys, blocks }: Run): number[] => {
    pointers.set(sources.map(at));
    if (keys !== null) keysOfSources.set(keys);
    return [pointersAt, keys === null ? 0 : keysAt, sources.length, at(blocks), blocks.length];
  };
  return {
    raiseExponents({ sources, blocks }, { exponents, bounds }) {
      for (const source of sources)
        raise(at(exponents), at(source), at(blocks), blocks.length, at(bounds));
    },
    quantise(sums, run, { grid, bits, add: adds, others = null }) {
      const { bounds, exponents, places } = grid;
      const each = [at(bounds), at(exponents), at(places), bits, adds ? 1 : 0];
      quantise(at(sums), ...runOf(run), ...each, others === null ? 0 : at(others));
    },
    scaleBack(vector, sums, { grid, bits, wide }) {
      const { bounds, exponents, places, filled, squares } = grid;
      const each = [at(bounds), at(exponents), at(places), at(filled), at(squares)];
      const count = bounds.length - 1;
      const further = [wide?.first ?? count, wide?.bits ?? bits];
      scaleBack(at(vector), at(sums), count, ...each, bits, ...further);
    },
    sumAlone(vector, run, { grid, bits, others = null }) {
      const { bounds, exponents, filled, squares } = grid;
      const agreed = others === null ? [0, 0] : [at(exponents), at(others)];
      alone(at(vector), ...runOf(run), at(bounds), at(filled), at(squares), bits, ...agreed);
    },
    sumSquares: (squares, vector, bounds) =>
      sumSquares(at(squares), at(vector), bounds.length - 1, at(bounds)),
    addIntegers: (sums, others) => addIntegers(at(sums), at(others), sums.length),
    checksum: (integers) => checksum(at(integers), integers.length) ?? 0,
    addFloats: (sums, others) => addFloats(at(sums), at(others), sums.length),
    addShorts: (sums, others) => addShorts(at(sums), at(others), sums.length),
    addOctets: (sums, others) => addOctets(at(sums), at(others), sums.length),
    maxBytes: (bytes, others) => max(at(bytes), at(others), bytes.length),
  };
}
