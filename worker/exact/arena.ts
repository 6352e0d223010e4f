/** Hands out aligned views of one shared memory, which cannot move. */
import { firstFree } from "./kernels.ts";

const pageBytes = 65_536;
/** Bytes that WebAssembly can address. */
export const arenaBytesMax = 65_536 * pageBytes;
/** Bytes: TensorFlow writes into memory of ours only where it starts at such a multiple (and WebAssembly loads 16). */
const alignment = 64;

/** Bytes that a view takes. */
export function arenaBytes(bytes: number): number {
  return Math.ceil(bytes / alignment) * alignment;
}

/** One memory for vectors that threads and kernels share. */
export class Arena {
  readonly memory: WebAssembly.Memory;
  #top = firstFree;

  /** @param bytes sum of `arenaBytes` of all views. Throws RangeError where the system has not as many. */
  constructor(bytes: number) {
    const pages = Math.ceil((firstFree + bytes) / pageBytes);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  }

  floats(length: number): Float32Array {
    return new Float32Array(this.memory.buffer, this.#take(length * 4), length);
  }

  words(length: number): Uint32Array {
    return new Uint32Array(this.memory.buffer, this.#take(length * 4), length);
  }

  bytes(length: number): Uint8Array {
    return new Uint8Array(this.memory.buffer, this.#take(length), length);
  }

  #take(bytes: number): number {
    const offset = this.#top;
    this.#top += arenaBytes(bytes);
    return offset;
  }
}
