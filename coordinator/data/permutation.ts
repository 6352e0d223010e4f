/**
 * A seeded permutation of 0 … size − 1 that is computed, not stored: the order of an epoch costs no memory however many
 * samples there are, and any position can be asked first (a resumed run starts in the middle).
 *
 * An unbalanced Feistel network over the smallest power of two that holds `size`, walked until the value is in range
 * (Black and Rogaway, "Ciphers with arbitrary finite domains", 2002):
 *
 *     value = left | right            (bits of equal number, or one more on the right)
 *     even rounds   left  ^= F(key of the round, right)
 *     odd rounds    right ^= F(key of the round, left)
 *     until value < size, again
 *
 * F is MurmurHash3's 32-bit finaliser, the round keys come from it too. Only 32-bit integer arithmetic: the same on
 * every machine.
 */

const rounds = 12;
/** Below 256 values a network has too few states to mix well; walking costs little there. */
const bitsMin = 8;
/** Sizes beyond this need wider arithmetic. */
const sizeMax = 2 ** 32;
const wordSize = 2 ** 32;

function mix(word: number): number {
  let mixed = word ^ (word >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return mixed ^ (mixed >>> 16);
}

function roundKeys(key: readonly number[]): Int32Array {
  let state = 0;
  for (const part of key) {
    state = mix(state ^ (part >>> 0)) + 0x9e3779b9;
    state = mix(state ^ (Math.floor(part / wordSize) >>> 0)) + 0x9e3779b9;
  }
  const keys = new Int32Array(rounds);
  for (let round = 0; round < rounds; round++) {
    state = (state + 0x9e3779b9) | 0;
    keys[round] = mix(state);
  }
  return keys;
}

function bitsFor(size: number): number {
  let bits = bitsMin;
  while (2 ** bits < size) bits++;
  return bits;
}

/**
 * The permutation that belongs to a key: position → value, both from 0 to size − 1.
 * @param key non-negative safe integers; another key, or another order of its parts, gives an unrelated permutation
 */
export function permutation(size: number, key: readonly number[]): (position: number) => number {
  if (!Number.isInteger(size) || size < 0 || size > sizeMax) {
    throw new RangeError(`Cannot permute 'size' values: current value is ${size}`);
  }
  const keys = roundKeys(key);
  const bits = bitsFor(size);
  const leftBits = bits >>> 1;
  const rightBits = bits - leftBits;
  const leftMask = 2 ** leftBits - 1;
  const rightMask = 2 ** rightBits - 1;
  return (position) => {
    if (!(position >= 0 && position < size)) {
      throw new RangeError(`Cannot permute 'position' of ${size}: current value is ${position}`);
    }
    let left = (position >>> rightBits) & leftMask;
    let right = position & rightMask;
    for (;;) {
      for (let round = 0; round < rounds; round += 2) {
        left ^= mix(right ^ (keys[round] ?? 0)) & leftMask;
        right ^= mix(left ^ (keys[round + 1] ?? 0)) & rightMask;
      }
      const value = left * 2 ** rightBits + right;
      if (value < size) return value;
    }
  };
}
