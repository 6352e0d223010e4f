// Sums of squares in double precision, in one order whatever the processor: no sum is fused or split.

/** Σ x² of the floats from `at` to `stop`, each square exact in double precision, added in one order: lane by lane. */
export function squaresOf(at: usize, stop: usize): f64 {
  let first = f64x2.splat(0);
  let second = f64x2.splat(0);
  let third = f64x2.splat(0);
  let fourth = f64x2.splat(0);
  for (; at + 32 <= stop; at += 32) {
    const one = v128.load(at);
    const other = v128.load(at, 16);
    const oneLow = f64x2.promote_low_f32x4(one);
    const oneHigh = f64x2.promote_low_f32x4(v128.shuffle<f32>(one, one, 2, 3, 2, 3));
    const otherLow = f64x2.promote_low_f32x4(other);
    const otherHigh = f64x2.promote_low_f32x4(v128.shuffle<f32>(other, other, 2, 3, 2, 3));
    first = f64x2.add(first, f64x2.mul(oneLow, oneLow));
    second = f64x2.add(second, f64x2.mul(oneHigh, oneHigh));
    third = f64x2.add(third, f64x2.mul(otherLow, otherLow));
    fourth = f64x2.add(fourth, f64x2.mul(otherHigh, otherHigh));
  }
  const lanes = f64x2.add(f64x2.add(first, second), f64x2.add(third, fourth));
  let sum = f64x2.extract_lane(lanes, 0) + f64x2.extract_lane(lanes, 1);
  for (; at < stop; at += 4) {
    const value = <f64>load<f32>(at);
    sum += value * value;
  }
  return sum;
}
