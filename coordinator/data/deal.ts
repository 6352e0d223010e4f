/** Who computes what: the microbatches of a step dealt to ranks like cards. The only place where the number of workers enters. */

/**
 * The microbatch indices of each rank, ascending: rank r gets r, r + worldSize, … Counts differ by at most one, and since
 * a batch's microbatches are sorted by length, so does the work. Ranks beyond the count get none.
 */
export function dealMicrobatches(count: number, worldSize: number): readonly (readonly number[])[] {
  if (!Number.isInteger(worldSize) || worldSize < 1) {
    throw new RangeError(`Cannot deal to 'worldSize' ranks: current value is ${worldSize}`);
  }
  return Array.from({ length: worldSize }, (_, rank) =>
    Array.from(
      { length: Math.max(0, Math.ceil((count - rank) / worldSize)) },
      (_unused, turn) => rank + turn * worldSize,
    ),
  );
}
