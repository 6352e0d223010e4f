/** Cuts a vector into blocks that share an exponent. Pure. */

/** Elements of a block at most. */
export const blockElements = 1024;

/** float32 elements of gradients that a worker may hold while it waits for their exponents: 1.6 GB. */
const heldElementsMax = 400_000_000;

/**
 * Microbatches whose gradients are summed with common exponents. It depends on the vector's length only: on nothing that
 * may change while a job runs.
 */
export function groupMicrobatches(vectorLength: number): number {
  return Math.min(64, Math.max(4, Math.floor(heldElementsMax / Math.max(1, vectorLength))));
}

/**
 * Bounds of the blocks of a vector made of parts (tensors) of these sizes: block b is `[bounds[b], bounds[b + 1])`.
 * No block crosses a part. Empty parts have no block.
 */
export function layOutBlocks(partSizes: readonly number[]): Uint32Array {
  const count = partSizes.reduce((sum, size) => sum + Math.ceil(size / blockElements), 0);
  const bounds = new Uint32Array(count + 1);
  let block = 0;
  let start = 0;
  for (const size of partSizes) {
    for (let offset = 0; offset < size; offset += blockElements) {
      bounds[block] = start + offset;
      block += 1;
    }
    start += size;
  }
  bounds[count] = start;
  return bounds;
}

/**
 * Bits that a quantised magnitude may take so that M of them cannot leave an int32: ⌊log₂(⌊(2³¹ − 1)/M⌋ + 1)⌋.
 * @param microbatchCount M, at least 1
 */
export function magnitudeBits(microbatchCount: number): number {
  const limit = Math.floor((2 ** 31 - 1) / microbatchCount);
  return Math.floor(Math.log2(limit + 1));
}

/**
 * Cuts the microbatches of a global batch into groups of `size`: the same ones whatever the number of workers.
 * @returns `[first, end)` of each group
 */
export function microbatchGroups(
  count: number,
  size: number,
): readonly (readonly [number, number])[] {
  const groups: [number, number][] = [];
  for (let first = 0; first < count; first += size) {
    groups.push([first, Math.min(first + size, count)]);
  }
  return groups;
}
