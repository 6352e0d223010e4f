/** The counterpart of fixed_values.py: values and projections that both sides make for themselves. */

/** A 32-bit hash of an index. */
export function mix(index: number, seed: number): number {
  let value = (Math.imul(index, 0x9e3779b1) + seed) >>> 0;
  value = Math.imul(value ^ (value >>> 16), 0x85ebca6b);
  value = Math.imul(value ^ (value >>> 13), 0xc2b2ae35);
  return (value ^ (value >>> 16)) >>> 0;
}

/** float32 values, uniform with mean 0 and about this standard deviation. */
export function fixedWeights(size: number, seed: number, deviation: number): Float32Array {
  return Float32Array.from(
    { length: size },
    (_, index) => (mix(index, seed) / 2 ** 32 - 0.5) * (deviation * 4),
  );
}

/** The norm, then sums of the values, each with signs of its own. */
export function project(values: Float32Array | Float64Array, count: number): number[] {
  let squares = 0;
  const sums = Array.from({ length: count }, () => 0);
  for (let index = 0; index < values.length; index += 1) {
    const value = values[index]!;
    if (value === 0) continue;
    squares += value * value;
    const bits = mix(index, 0);
    for (let bit = 0; bit < count; bit += 1) sums[bit]! += (bits >>> bit) & 1 ? -value : value;
  }
  return [Math.sqrt(squares), ...sums];
}

/**
 * Relative L2 distance of a tensor from the reference, by their projections: the mean of the squared differences of the
 * sums is an unbiased estimate of the squared distance.
 */
export function relativeDistance(found: readonly number[], expected: readonly number[]): number {
  const squares = expected.slice(1).map((sum, place) => (sum - found[place + 1]!) ** 2);
  const mean = squares.reduce((total, square) => total + square, 0) / squares.length;
  return Math.sqrt(mean) / expected[0]!;
}
