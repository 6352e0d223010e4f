/**
 * Float32 vectors that threads and TensorFlow share. TensorFlow takes memory of JavaScript as it is only where it starts at
 * a multiple of 64 bytes, and a slice of a vector shares its memory only where it starts and ends at one; otherwise it
 * copies. So vectors start at a page, and are followed by room up to the next multiple.
 */

/** Float32 elements of 64 bytes. */
export const alignedElements = 16;

const elementBytes = Float32Array.BYTES_PER_ELEMENT;
const alignedBytes = alignedElements * elementBytes;
const pageBytes = 65_536;

/** The next multiple of `alignedElements`. */
export function alignedLength(length: number): number {
  return Math.ceil(length / alignedElements) * alignedElements;
}

/** What is done with a memory before anything is written to it. */
export type OnMemory = (memory: WebAssembly.Memory) => void;

/** A vector of zeros that threads share, aligned. */
export function allocateShared(length: number, onMemory?: OnMemory): Float32Array {
  const pages = Math.ceil((alignedLength(length) * elementBytes) / pageBytes);
  // The memory of WebAssembly is the one shared memory that is known to start at a page.
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  const { buffer } = memory;
  if (pages > 0) onMemory?.(memory);
  return new Float32Array(buffer, 0, length);
}

/** The same memory up to the next multiple of 64 bytes; null where it does not start at one, or ends before. */
export function alignedView(vector: Float32Array): Float32Array | null {
  const { buffer, byteOffset } = vector;
  const length = alignedLength(vector.length);
  const fits = byteOffset + length * elementBytes <= buffer.byteLength;
  return byteOffset % alignedBytes === 0 && fits
    ? new Float32Array(buffer, byteOffset, length)
    : null;
}
