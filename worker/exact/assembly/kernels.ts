// The hot loops of exact sums, in AssemblyScript: see ../README.md for what they compute and ../reference.ts for the same
// without SIMD. Pointers are byte offsets into the imported memory. Built by `npm run build:kernels`.

const exponentBias: i32 = 126;
const notFinite: u32 = 255;

/** 2^exponent for any exponent between −252 and 254, as two factors: one float32 cannot hold all of them. */
function half(exponent: i32): i32 {
  return exponent >> 1;
}

function power(exponent: i32): f32 {
  return reinterpret<f32>(<u32>(exponent + 127) << 23);
}

/** exponents[b] = max(exponents[b], largest biased exponent among the elements of block b). */
export function raiseExponents(exponents: usize, vector: usize, bounds: usize, blocks: i32): void {
  const mask = i32x4.splat(0x7fffffff);
  for (let b = 0; b < blocks; b++) {
    const start = load<u32>(bounds + (<usize>b << 2));
    const end = load<u32>(bounds + (<usize>(b + 1) << 2));
    let at = vector + (<usize>start << 2);
    const stop = vector + (<usize>end << 2);
    let most = i32x4.splat(0);
    for (; at + 16 <= stop; at += 16) most = i32x4.max_u(most, v128.and(v128.load(at), mask));
    let bits = max(
      max(<u32>i32x4.extract_lane(most, 0), <u32>i32x4.extract_lane(most, 1)),
      max(<u32>i32x4.extract_lane(most, 2), <u32>i32x4.extract_lane(most, 3)),
    );
    for (; at < stop; at += 4) bits = max(bits, load<u32>(at) & 0x7fffffff);
    const exponent = bits >>> 23;
    if (exponent > <u32>load<u8>(exponents + b)) store<u8>(exponents + b, <u8>exponent);
  }
}

/** sums += round(vector * 2^k), k from the exponent of each block; blocks of exponent 255 are left alone. */
export function quantiseAdd(
  sums: usize,
  vector: usize,
  bounds: usize,
  exponents: usize,
  blocks: i32,
  bits: i32,
): void {
  for (let b = 0; b < blocks; b++) {
    const exponent = <u32>load<u8>(exponents + b);
    if (exponent == notFinite) continue;
    const k = bits + exponentBias - <i32>max(exponent, <u32>1);
    const first = power(half(k));
    const second = power(k - half(k));
    const start = load<u32>(bounds + (<usize>b << 2));
    const end = load<u32>(bounds + (<usize>(b + 1) << 2));
    let at = vector + (<usize>start << 2);
    let to = sums + (<usize>start << 2);
    const stop = vector + (<usize>end << 2);
    const firsts = f32x4.splat(first);
    const seconds = f32x4.splat(second);
    for (; at + 16 <= stop; at += 16, to += 16) {
      const scaled = f32x4.mul(f32x4.mul(v128.load(at), firsts), seconds);
      const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(scaled));
      v128.store(to, i32x4.add(v128.load(to), q));
    }
    for (; at < stop; at += 4, to += 4) {
      store<i32>(to, load<i32>(to) + <i32>nearest(load<f32>(at) * first * second));
    }
  }
}

/** Replaces each float by its integer; blocks of exponent 255 become 0. */
export function quantiseInPlace(
  vector: usize,
  bounds: usize,
  exponents: usize,
  blocks: i32,
  bits: i32,
): void {
  for (let b = 0; b < blocks; b++) {
    const exponent = <u32>load<u8>(exponents + b);
    const k = bits + exponentBias - <i32>max(exponent, <u32>1);
    const first = exponent == notFinite ? <f32>0 : power(half(k));
    const second = power(k - half(k));
    const start = load<u32>(bounds + (<usize>b << 2));
    const end = load<u32>(bounds + (<usize>(b + 1) << 2));
    let at = vector + (<usize>start << 2);
    const stop = vector + (<usize>end << 2);
    const firsts = f32x4.splat(first);
    const seconds = f32x4.splat(second);
    for (; at + 16 <= stop; at += 16) {
      const scaled = f32x4.mul(f32x4.mul(v128.load(at), firsts), seconds);
      v128.store(at, i32x4.trunc_sat_f32x4_s(f32x4.nearest(scaled)));
    }
    for (; at < stop; at += 4) {
      const scaled = nearest(load<f32>(at) * first * second);
      store<i32>(at, scaled == scaled ? <i32>scaled : 0);
    }
  }
}

/** vector += sums * 2^-k; blocks of exponent 255 become NaN. */
export function scaleBackAdd(
  vector: usize,
  sums: usize,
  bounds: usize,
  exponents: usize,
  blocks: i32,
  bits: i32,
): void {
  for (let b = 0; b < blocks; b++) {
    const exponent = <u32>load<u8>(exponents + b);
    const k = <i32>max(exponent, <u32>1) - exponentBias - bits;
    const first = exponent == notFinite ? f32.NaN : power(k - half(k));
    const second = power(half(k));
    const start = load<u32>(bounds + (<usize>b << 2));
    const end = load<u32>(bounds + (<usize>(b + 1) << 2));
    let at = sums + (<usize>start << 2);
    let to = vector + (<usize>start << 2);
    const stop = sums + (<usize>end << 2);
    const firsts = f32x4.splat(first);
    const seconds = f32x4.splat(second);
    for (; at + 16 <= stop; at += 16, to += 16) {
      const scaled = f32x4.mul(f32x4.mul(f32x4.convert_i32x4_s(v128.load(at)), firsts), seconds);
      v128.store(to, f32x4.add(v128.load(to), scaled));
    }
    for (; at < stop; at += 4, to += 4) {
      store<f32>(to, load<f32>(to) + <f32>load<i32>(at) * first * second);
    }
  }
}

/** sums += others, wrapping. */
export function addIntegers(sums: usize, others: usize, count: i32): void {
  const stop = sums + (<usize>count << 2);
  for (; sums + 16 <= stop; sums += 16, others += 16) {
    v128.store(sums, i32x4.add(v128.load(sums), v128.load(others)));
  }
  for (; sums < stop; sums += 4, others += 4) store<i32>(sums, load<i32>(sums) + load<i32>(others));
}

/** bytes = max(bytes, others). */
export function maxBytes(bytes: usize, others: usize, count: i32): void {
  const stop = bytes + <usize>count;
  for (; bytes + 16 <= stop; bytes += 16, others += 16) {
    v128.store(bytes, i8x16.max_u(v128.load(bytes), v128.load(others)));
  }
  for (; bytes < stop; bytes++, others++) store<u8>(bytes, max(load<u8>(bytes), load<u8>(others)));
}
