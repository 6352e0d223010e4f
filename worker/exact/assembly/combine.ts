// How what arrives is combined with what is here, element by element.

/** sums += others, wrapping. */
export function addIntegers(sums: usize, others: usize, count: i32): void {
  const stop = sums + (<usize>count << 2);
  for (; sums + 16 <= stop; sums += 16, others += 16) {
    v128.store(sums, i32x4.add(v128.load(sums), v128.load(others)));
  }
  for (; sums < stop; sums += 4, others += 4) store<i32>(sums, load<i32>(sums) + load<i32>(others));
}

/** Σ of integers, modulo 2³². */
export function checksum(integers: usize, count: i32): i32 {
  const stop = integers + (<usize>count << 2);
  let lanes = i32x4.splat(0);
  for (; integers + 16 <= stop; integers += 16) {
    lanes = i32x4.add(lanes, v128.load(integers));
  }
  let sum =
    i32x4.extract_lane(lanes, 0) +
    i32x4.extract_lane(lanes, 1) +
    i32x4.extract_lane(lanes, 2) +
    i32x4.extract_lane(lanes, 3);
  for (; integers < stop; integers += 4) sum += load<i32>(integers);
  return sum;
}

/** sums += others, of float32. */
export function addFloats(sums: usize, others: usize, count: i32): void {
  const stop = sums + (<usize>count << 2);
  for (; sums + 16 <= stop; sums += 16, others += 16) {
    v128.store(sums, f32x4.add(v128.load(sums), v128.load(others)));
  }
  for (; sums < stop; sums += 4, others += 4) store<f32>(sums, load<f32>(sums) + load<f32>(others));
}

/** The same of integers of 16 bits. */
export function addShorts(sums: usize, others: usize, count: i32): void {
  const stop = sums + (<usize>count << 1);
  for (; sums + 16 <= stop; sums += 16, others += 16) {
    v128.store(sums, i16x8.add(v128.load(sums), v128.load(others)));
  }
  for (; sums < stop; sums += 2, others += 2) store<i16>(sums, load<i16>(sums) + load<i16>(others));
}

/** The same of 8 bits. */
export function addOctets(sums: usize, others: usize, count: i32): void {
  const stop = sums + <usize>count;
  for (; sums + 16 <= stop; sums += 16, others += 16) {
    v128.store(sums, i8x16.add(v128.load(sums), v128.load(others)));
  }
  for (; sums < stop; sums++, others++) store<i8>(sums, load<i8>(sums) + load<i8>(others));
}

/** bytes = max(bytes, others). */
export function maxBytes(bytes: usize, others: usize, count: i32): void {
  const stop = bytes + <usize>count;
  for (; bytes + 16 <= stop; bytes += 16, others += 16) {
    v128.store(bytes, i8x16.max_u(v128.load(bytes), v128.load(others)));
  }
  for (; bytes < stop; bytes++, others++) store<u8>(bytes, max(load<u8>(bytes), load<u8>(others)));
}
