/** The hot loop of the ring: plain functions over typed arrays, nothing allocated. */

/** Adds `source` to `target` from `start` on, element by element. */
export function addInto(target: Float32Array, start: number, source: Float32Array): void {
  const length = source.length;
  for (let i = 0; i < length; i++) {
    target[start + i] = (target[start + i] as number) + (source[i] as number);
  }
}
