/**
 * The hot loops of exact sums in plain TypeScript: what `kernels.wasm` computes, bit by bit. Property tests compare the
 * two; nothing else runs this.
 */
import type { ExactKernels, Grid, Run } from "./kernels.ts";

const floatBits = new Float32Array(1);
const intBits = new Uint32Array(floatBits.buffer);

function exponentByte(value: number): number {
  floatBits[0] = value;
  const magnitude = (intBits[0] ?? 0) & 0x7fffffff;
  return magnitude === 0 ? 0 : Math.max(1, magnitude >>> 23);
}

/** Rounds to nearest, ties to even, as SIMD's `nearest` does. */
function nearest(value: number): number {
  const floor = Math.floor(value);
  const difference = value - floor;
  if (difference < 0.5) return floor;
  if (difference > 0.5) return floor + 1;
  return floor % 2 === 0 ? floor : floor + 1;
}

/** A random share of 1 for an element and a key: MurmurHash3's finaliser. */
function shareOf(number: number, key: number): number {
  let x = (Math.imul(number, 0x9e3779b1) + key) | 0;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  x ^= x >>> 16;
  return (x >>> 8) * 2 ** -24;
}

/** ⌊value · 2^k + share⌋ in float32, kept within the bits. */
function rounded(value: number, k: number, share: number, bits: number): number {
  const first = 2 ** (k >> 1);
  const second = 2 ** (k - (k >> 1));
  const scaled = Math.fround(Math.fround(value * first) * second);
  const most = 2 ** bits - 1;
  return Math.max(-most, Math.min(most, Math.floor(Math.fround(scaled + share))));
}

/** Σ x² in double precision: eight lanes side by side, then what is left over. */
function squaresOf(values: Float32Array): number {
  const lanes = new Float64Array(8);
  const whole = values.length - (values.length % 8);
  for (let i = 0; i < whole; i++) lanes[i % 8] = (lanes[i % 8] ?? 0) + (values[i] ?? 0) ** 2;
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0, g = 0, h = 0] = lanes;
  let sum = a + c + (e + g) + (b + d + (f + h));
  for (const value of values.subarray(whole)) sum += value * value;
  return sum;
}

/** Calls `use` with each block of a run, its first element within the sources and its length. */
function forBlocks(
  { blocks }: Run,
  { bounds }: Grid,
  use: (block: number, first: number, length: number) => void,
): void {
  let first = 0;
  for (const block of blocks) {
    const length = (bounds[block + 1] ?? 0) - (bounds[block] ?? 0);
    use(block, first, length);
    first += length;
  }
}

/** k of 2^k that a block's elements are multiplied by. */
function scaleOf(exponent: number, bits: number): number {
  return bits + 126 - exponent;
}

/** The kernels without WebAssembly. */
export const referenceKernels: ExactKernels = {
  raiseExponents(run, grid) {
    const { exponents } = grid;
    forBlocks(run, grid, (block, first, length) => {
      for (const source of run.sources) {
        for (const value of source.subarray(first, first + length)) {
          exponents[block] = Math.max(exponents[block] ?? 0, exponentByte(value));
        }
      }
    });
  },
  quantise(sums, run, { grid, bits, add, others = null }) {
    forBlocks(run, grid, (block, first, length) => {
      const exponent = grid.exponents[block] ?? 0;
      if (exponent === 0) return;
      const k = scaleOf(exponent, bits);
      const place = grid.places[block] ?? 0;
      const start = grid.bounds[block] ?? 0;
      for (let i = 0; i < length; i++) {
        let sum = add && exponent < 255 ? (sums[place + i] ?? 0) : 0;
        if (exponent < 255) sum += others?.[first + i] ?? 0;
        for (const [s, source] of exponent < 255 ? run.sources.entries() : []) {
          const value = source[first + i] ?? 0;
          const key = run.keys?.[s];
          const q =
            key === undefined
              ? nearest(value * 2 ** k)
              : rounded(value, k, shareOf(start + i, key), bits);
          sum = (sum + q) | 0;
        }
        sums[place + i] = sum;
      }
    });
  },
  scaleBack(vector, sums, { grid, bits, wide }) {
    const { bounds, exponents, places, filled, squares } = grid;
    for (let block = 0; block + 1 < bounds.length; block++) {
      const exponent = exponents[block] ?? 0;
      const start = bounds[block] ?? 0;
      const end = bounds[block + 1] ?? 0;
      if (exponent === 0) {
        if (filled[block] === 2) {
          vector.fill(0, start, end);
          filled[block] = 0;
        }
        continue;
      }
      const ownBits = wide !== undefined && block >= wide.first ? wide.bits : bits;
      const scale = exponent === 255 ? Number.NaN : 2 ** -scaleOf(exponent, ownBits);
      const place = places[block] ?? 0;
      for (let i = start; i < end; i++) {
        const before = filled[block] === 1 ? (vector[i] ?? 0) : 0;
        // The integer is rounded to a float32 first, as SIMD converts it.
        vector[i] = before + Math.fround(Math.fround(sums[place + i - start] ?? 0) * scale);
      }
      filled[block] = 1;
      squares[block] = squaresOf(vector.subarray(start, end));
    }
  },
  sumAlone(
    vector,
    run,
    { grid: { bounds, filled, squares, exponents: agreed }, bits, others = null },
  ) {
    // Each block has its own place in sums as long as the vector; the blocks of other runs have none.
    const exponents = new Uint8Array(filled.length);
    if (others !== null) for (const block of run.blocks) exponents[block] = agreed[block] ?? 0;
    const states = filled.map((state) => (state === 2 ? 0 : state));
    for (const block of run.blocks) states[block] = filled[block] ?? 0;
    const grid: Grid = { bounds, exponents, places: bounds.slice(0, -1), filled: states, squares };
    const sums = new Int32Array(vector.length);
    if (others === null) this.raiseExponents(run, grid);
    this.quantise(sums, run, { grid, bits, add: false, others });
    this.scaleBack(vector, sums, { grid, bits });
    for (const block of run.blocks) filled[block] = states[block] ?? 0;
  },
  sumSquares(squares, vector, bounds) {
    for (let block = 0; block + 1 < bounds.length; block++) {
      squares[block] = squaresOf(vector.subarray(bounds[block], bounds[block + 1]));
    }
  },
  addIntegers(sums, others) {
    for (let i = 0; i < sums.length; i++) sums[i] = ((sums[i] ?? 0) + (others[i] ?? 0)) | 0;
  },
  checksum: (integers) => integers.reduce((sum, value) => (sum + value) | 0, 0),
  addFloats(sums, others) {
    for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (others[i] ?? 0);
  },
  addShorts(sums, others) {
    for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (others[i] ?? 0);
  },
  addOctets(sums, others) {
    for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (others[i] ?? 0);
  },
  maxBytes(bytes, others) {
    for (let i = 0; i < bytes.length; i++) bytes[i] = Math.max(bytes[i] ?? 0, others[i] ?? 0);
  },
};
