// Elements as integers, in AssemblyScript: rounded to the nearest, or up and down at random. `sources` points to as many
// pointers as there are sources; `at` is a byte offset that is the same in all of them.

/** Sum over the sources of the integers of four elements `at` bytes into the run. */
export function fourIntegers(sources: usize, sourceCount: i32, at: usize, firsts: v128, seconds: v128): v128 {
  let sum = i32x4.splat(0);
  for (let s = 0; s < sourceCount; s++) {
    const values = v128.load(<usize>load<u32>(sources + (<usize>s << 2)) + at);
    const scaled = f32x4.mul(f32x4.mul(values, firsts), seconds);
    sum = i32x4.add(sum, i32x4.trunc_sat_f32x4_s(f32x4.nearest(scaled)));
  }
  return sum;
}

/** The same of one element. */
export function oneInteger(sources: usize, sourceCount: i32, at: usize, first: f32, second: f32): i32 {
  let sum = 0;
  for (let s = 0; s < sourceCount; s++) {
    const value = load<f32>(<usize>load<u32>(sources + (<usize>s << 2)) + at);
    sum += <i32>nearest(value * first * second);
  }
  return sum;
}

/** Numbers of four elements that follow one another, spread over 32 bits (2³² ÷ the golden ratio, made odd). */
function spread(number: u32): v128 {
  const numbers = i32x4.add(i32x4.splat(number), i32x4(0, 1, 2, 3));
  return i32x4.mul(numbers, i32x4.splat(0x9e3779b1));
}

/** A random share of 1 for each lane, in steps of 2⁻²⁴: the finaliser of MurmurHash3 (Appleby 2011). */
function shares(spreadNumbers: v128, key: i32): v128 {
  let x = i32x4.add(spreadNumbers, i32x4.splat(key));
  x = v128.xor(x, i32x4.shr_u(x, 16));
  x = i32x4.mul(x, i32x4.splat(0x85ebca6b));
  x = v128.xor(x, i32x4.shr_u(x, 13));
  x = i32x4.mul(x, i32x4.splat(0xc2b2ae35));
  x = v128.xor(x, i32x4.shr_u(x, 16));
  return f32x4.mul(f32x4.convert_i32x4_u(i32x4.shr_u(x, 8)), f32x4.splat(0.000000059604644775390625));
}

/**
 * `fourIntegers` rounded down or up at random, so that the average is right: ⌊scaled + share⌋, kept within ±most. `number` is the
 * first element's in the vector, `keys` points to a key for each source.
 */
export function fourRounded(
  sources: usize,
  keys: usize,
  sourceCount: i32,
  at: usize,
  number: u32,
  firsts: v128,
  seconds: v128,
  most: i32,
): v128 {
  const numbers = spread(number);
  const highest = i32x4.splat(most);
  const lowest = i32x4.splat(-most);
  let sum = i32x4.splat(0);
  for (let s = 0; s < sourceCount; s++) {
    const values = v128.load(<usize>load<u32>(sources + (<usize>s << 2)) + at);
    const scaled = f32x4.mul(f32x4.mul(values, firsts), seconds);
    const share = shares(numbers, load<i32>(keys + (<usize>s << 2)));
    const q = i32x4.trunc_sat_f32x4_s(f32x4.floor(f32x4.add(scaled, share)));
    sum = i32x4.add(sum, i32x4.max_s(i32x4.min_s(q, highest), lowest));
  }
  return sum;
}

/** The same of one element. */
export function oneRounded(
  sources: usize,
  keys: usize,
  sourceCount: i32,
  at: usize,
  number: u32,
  first: f32,
  second: f32,
  most: i32,
): i32 {
  const numbers = spread(number);
  let sum = 0;
  for (let s = 0; s < sourceCount; s++) {
    const value = load<f32>(<usize>load<u32>(sources + (<usize>s << 2)) + at);
    const share = f32x4.extract_lane(shares(numbers, load<i32>(keys + (<usize>s << 2))), 0);
    const q = <i32>floor(value * first * second + share);
    sum += max(min(q, most), -most);
  }
  return sum;
}
