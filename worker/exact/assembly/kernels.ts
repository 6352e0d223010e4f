// The hot loops of exact sums, in AssemblyScript: see ../README.md for what they compute and ../reference.ts for the same
// without SIMD. Pointers are byte offsets into the imported memory. Built by `npm run build:kernels`.
//
// A run is a list of blocks whose elements lie one after the other at the sources; `blocks` points to their numbers.
// `sources` points to as many pointers as there are sources, each to the first element of the run.

import { addFloats, addIntegers, addOctets, addShorts, checksum, maxBytes } from "./combine.ts";
import { fourIntegers, fourRounded, oneInteger, oneRounded } from "./integers.ts";
import { squaresOf } from "./squares.ts";

export { addFloats, addIntegers, addOctets, addShorts, checksum, maxBytes };

const exponentBias: i32 = 126;
const notFinite: u32 = 255;

/** 2^exponent for any exponent between −252 and 254, as two factors: one float32 cannot hold all of them. */
function half(exponent: i32): i32 {
  return exponent >> 1;
}

function power(exponent: i32): f32 {
  return reinterpret<f32>(<u32>(exponent + 127) << 23);
}

/** Adds what others have `at` bytes into the run; nothing where `others` is 0. */
function withFour(own: v128, others: usize, at: usize): v128 {
  return others == 0 ? own : i32x4.add(own, v128.load(others + at));
}

/** The same of one element. */
function withOne(own: i32, others: usize, at: usize): i32 {
  return others == 0 ? own : own + load<i32>(others + at);
}

function sizeOf(bounds: usize, block: usize): usize {
  return <usize>(load<u32>(bounds + ((block + 1) << 2)) - load<u32>(bounds + (block << 2))) << 2;
}

/** Exponent byte of the elements from `at` to `stop`: 0 if all are zero, at least 1 otherwise. */
function exponentByte(at: usize, stop: usize): u32 {
  const mask = i32x4.splat(0x7fffffff);
  let most = i32x4.splat(0);
  for (; at + 16 <= stop; at += 16) most = i32x4.max_u(most, v128.and(v128.load(at), mask));
  let bits = max(
    max(<u32>i32x4.extract_lane(most, 0), <u32>i32x4.extract_lane(most, 1)),
    max(<u32>i32x4.extract_lane(most, 2), <u32>i32x4.extract_lane(most, 3)),
  );
  for (; at < stop; at += 4) bits = max(bits, load<u32>(at) & 0x7fffffff);
  return bits == 0 ? 0 : max(bits >>> 23, 1);
}

/** Power of two that elements of a block are multiplied by. */
function scaleOf(exponent: u32, bits: i32): i32 {
  return bits + exponentBias - <i32>exponent;
}

/** squares[b] = Σ x² of each block of a vector. */
export function sumSquares(squares: usize, vector: usize, blocks: i32, bounds: usize): void {
  for (let b: usize = 0; b < <usize>blocks; b++) {
    const at = vector + (<usize>load<u32>(bounds + (b << 2)) << 2);
    store<f64>(squares + (b << 3), squaresOf(at, at + sizeOf(bounds, b)));
  }
}

/** exponents[b] = max(exponents[b], exponent byte of block b at the source), for the blocks of a run. */
export function raiseExponents(
  exponents: usize,
  source: usize,
  blocks: usize,
  count: i32,
  bounds: usize,
): void {
  for (let i = 0; i < count; i++) {
    const b = <usize>load<u32>(blocks + (<usize>i << 2));
    const stop = source + sizeOf(bounds, b);
    const exponent = exponentByte(source, stop);
    if (exponent > <u32>load<u8>(exponents + b)) store<u8>(exponents + b, <u8>exponent);
    source = stop;
  }
}

/**
 * sums[places[b]…] = (or +=, with `add`) Σ round(source · 2^k) for the blocks of a run. Blocks of exponent 0 have no place;
 * those of 255 become 0. `sums` may overlap the first source where no place lies behind what is read from it. With `keys`, a
 * key for each source, values are rounded at random. With `others`, integers that lie as the run's elements do, those are added.
 */
export function quantise(
  sums: usize,
  sources: usize,
  keys: usize,
  sourceCount: i32,
  blocks: usize,
  count: i32,
  bounds: usize,
  exponents: usize,
  places: usize,
  bits: i32,
  add: i32,
  others: usize,
): void {
  let at: usize = 0;
  for (let i = 0; i < count; i++) {
    const b = <usize>load<u32>(blocks + (<usize>i << 2));
    const stop = at + sizeOf(bounds, b);
    const exponent = <u32>load<u8>(exponents + b);
    if (exponent == 0) {
      at = stop;
      continue;
    }
    let to = sums + (<usize>load<u32>(places + (b << 2)) << 2);
    if (exponent == notFinite) {
      memory.fill(to, 0, stop - at);
      at = stop;
      continue;
    }
    const k = scaleOf(exponent, bits);
    const first = power(half(k));
    const second = power(k - half(k));
    const firsts = f32x4.splat(first);
    const seconds = f32x4.splat(second);
    if (keys != 0) {
      const most = (1 << bits) - 1;
      let number = load<u32>(bounds + (b << 2));
      for (; at + 16 <= stop; at += 16, to += 16, number += 4) {
        const own = fourRounded(sources, keys, sourceCount, at, number, firsts, seconds, most);
        const q = withFour(own, others, at);
        v128.store(to, add ? i32x4.add(v128.load(to), q) : q);
      }
      for (; at < stop; at += 4, to += 4, number++) {
        const own = oneRounded(sources, keys, sourceCount, at, number, first, second, most);
        const q = withOne(own, others, at);
        store<i32>(to, add ? load<i32>(to) + q : q);
      }
      continue;
    }
    for (; at + 16 <= stop; at += 16, to += 16) {
      const q = withFour(fourIntegers(sources, sourceCount, at, firsts, seconds), others, at);
      v128.store(to, add ? i32x4.add(v128.load(to), q) : q);
    }
    for (; at < stop; at += 4, to += 4) {
      const q = withOne(oneInteger(sources, sourceCount, at, first, second), others, at);
      store<i32>(to, add ? load<i32>(to) + q : q);
    }
  }
}

/**
 * vector = sums · 2^−k for blocks that have integers, 0 for the others; blocks of exponent 255 become NaN.
 * Blocks from `wide` on have `wideBits`, those before `bits`.
 * `filled[b]` says what lies in the vector: 0 zeros, 1 values of this step, which are added to, 2 what is left of another.
 * `squares[b]` becomes Σ x² of a block that has been written, while it lies in the processor's cache.
 */
export function scaleBack(
  vector: usize,
  sums: usize,
  blocks: i32,
  bounds: usize,
  exponents: usize,
  places: usize,
  filled: usize,
  squares: usize,
  bits: i32,
  wide: i32,
  wideBits: i32,
): void {
  for (let b: usize = 0; b < <usize>blocks; b++) {
    const exponent = <u32>load<u8>(exponents + b);
    const state = <u32>load<u8>(filled + b);
    if (exponent == 0 && state != 2) continue;
    const size = sizeOf(bounds, b);
    const written = vector + (<usize>load<u32>(bounds + (b << 2)) << 2);
    let to = written;
    if (exponent == 0) {
      memory.fill(to, 0, size);
      store<u8>(filled + b, 0);
      continue;
    }
    store<u8>(filled + b, 1);
    const k = -scaleOf(exponent, <i32>b < wide ? bits : wideBits);
    const first = exponent == notFinite ? f32.NaN : power(k - half(k));
    const second = power(half(k));
    let at = sums + (<usize>load<u32>(places + (b << 2)) << 2);
    const stop = at + size;
    const firsts = f32x4.splat(first);
    const seconds = f32x4.splat(second);
    if (state == 1) {
      for (; at + 16 <= stop; at += 16, to += 16) {
        const scaled = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(v128.load(at)), firsts), seconds);
        v128.store(to, f32x4.add(v128.load(to), scaled));
      }
      for (; at < stop; at += 4, to += 4) {
        store<f32>(to, load<f32>(to) + <f32>load<i32>(at) * first * second);
      }
    } else {
      for (; at + 16 <= stop; at += 16, to += 16) {
        const scaled = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(v128.load(at)), firsts), seconds);
        v128.store(to, scaled);
      }
      for (; at < stop; at += 4, to += 4) store<f32>(to, <f32>load<i32>(at) * first * second);
    }
    store<f64>(squares + (b << 3), squaresOf(written, written + size));
  }
}

/**
 * For the blocks of a run that nobody else adds to: exponents, integers and their sum scaled back into the vector, block by
 * block, so that memory is read once. `filled` and `squares` end as `scaleBack` leaves them. With `others`, integers that lie
 * as the run's elements do, those are added, and `exponents` are those that all have agreed on; without, both are 0.
 */
export function sumAlone(
  vector: usize,
  sources: usize,
  keys: usize,
  sourceCount: i32,
  blocks: usize,
  count: i32,
  bounds: usize,
  filled: usize,
  squares: usize,
  bits: i32,
  exponents: usize,
  others: usize,
): void {
  let at: usize = 0;
  for (let i = 0; i < count; i++) {
    const b = <usize>load<u32>(blocks + (<usize>i << 2));
    const size = sizeOf(bounds, b);
    const stop = at + size;
    let exponent = exponents == 0 ? 0 : <u32>load<u8>(exponents + b);
    for (let s = 0; s < sourceCount && exponents == 0; s++) {
      const source = <usize>load<u32>(sources + (<usize>s << 2)) + at;
      exponent = max(exponent, exponentByte(source, source + size));
    }
    const state = <u32>load<u8>(filled + b);
    const written = vector + (<usize>load<u32>(bounds + (b << 2)) << 2);
    let to = written;
    if (exponent == 0) {
      if (state == 2) {
        memory.fill(to, 0, size);
        store<u8>(filled + b, 0);
      }
      at = stop;
      continue;
    }
    store<u8>(filled + b, 1);
    const finite = exponent != notFinite;
    const k = scaleOf(exponent, bits);
    const first = finite ? power(half(k)) : 0;
    const second = power(k - half(k));
    const back = finite ? power(-k - half(-k)) : f32.NaN;
    const further = power(half(-k));
    const firsts = f32x4.splat(first);
    const seconds = f32x4.splat(second);
    const backs = f32x4.splat(back);
    const furthers = f32x4.splat(further);
    const add = state == 1;
    const most = (1 << bits) - 1;
    let number = load<u32>(bounds + (b << 2));
    for (; at + 16 <= stop; at += 16, to += 16, number += 4) {
      const own =
        keys == 0
          ? fourIntegers(sources, sourceCount, at, firsts, seconds)
          : fourRounded(sources, keys, sourceCount, at, number, firsts, seconds, most);
      const q = withFour(own, others, at);
      const scaled = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(q), backs), furthers);
      v128.store(to, add ? f32x4.add(v128.load(to), scaled) : scaled);
    }
    for (; at < stop; at += 4, to += 4, number++) {
      const own = !finite
        ? 0
        : keys == 0
          ? oneInteger(sources, sourceCount, at, first, second)
          : oneRounded(sources, keys, sourceCount, at, number, first, second, most);
      const q = withOne(own, others, at);
      const scaled = <f32>q * back * further;
      store<f32>(to, add ? load<f32>(to) + scaled : scaled);
    }
    store<f64>(squares + (b << 3), squaresOf(written, written + size));
  }
}
