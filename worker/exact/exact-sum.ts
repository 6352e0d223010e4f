/**
 * The exact sum of a step's microbatches over all workers: holds the microbatches' vectors of a group, agrees on
 * exponents, adds integers within the worker and around the ring, and adds the group's sum to the step's vector.
 */
import {
  groupMicrobatches,
  layOutBlocks,
  magnitudeBits,
  microbatchGroups,
} from "./block-layout.ts";
import { loadKernels, type ExactKernels } from "./kernels.ts";

/** What the exact sum needs of a ring: reductions that depend on nothing but the values. */
export interface ExactRing {
  /** Sums integers over all ranks, in place. */
  sumIntegers(vector: Int32Array, signal: AbortSignal): Promise<void>;
  /** Keeps the largest byte of all ranks at each place. */
  maxBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
}

const pageBytes = 65_536;
/** Bytes: TensorFlow writes into memory of ours only where it starts at such a multiple (and WebAssembly loads 16). */
const alignment = 64;

/** Hands out aligned views of one shared memory, which cannot move. */
class Arena {
  readonly memory: WebAssembly.Memory;
  #top = 1024;

  constructor(bytes: number) {
    const pages = Math.ceil((1024 + bytes) / pageBytes);
    this.memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  }

  take(bytes: number): { readonly buffer: SharedArrayBuffer; readonly offset: number } {
    const offset = this.#top;
    this.#top += Math.ceil(bytes / alignment) * alignment;
    return { buffer: this.memory.buffer, offset };
  }
}

/** Sums over one table; made once per set of programs. */
export class ExactSum {
  /** The sum over the global batch after the last group; shared with the engine's thread. */
  readonly vector: Float32Array;
  readonly #slots: readonly Float32Array[];
  readonly #bounds: Uint32Array;
  readonly #exponents: Uint8Array;
  readonly #kernels: ExactKernels;
  readonly #groupSize: number;

  /**
   * @param partSizes elements of each part of the vector (tensors, buffers, scalars); no block crosses a part
   * @param slotCount most microbatches that this worker computes in one group
   */
  constructor(partSizes: readonly number[], slotCount: number) {
    const length = partSizes.reduce((sum, size) => sum + size, 0);
    const bounds = layOutBlocks(partSizes);
    const slots = Math.max(1, slotCount);
    const vectorBytes = Math.ceil((length * 4) / alignment) * alignment;
    const arena = new Arena((slots + 1) * vectorBytes + bounds.length * 8 + 4 * alignment);
    const floats = (): Float32Array => {
      const { buffer, offset } = arena.take(length * 4);
      return new Float32Array(buffer, offset, length);
    };
    this.vector = floats();
    this.#slots = Array.from({ length: slots }, floats);
    const boundsPlace = arena.take(bounds.byteLength);
    this.#bounds = new Uint32Array(boundsPlace.buffer, boundsPlace.offset, bounds.length);
    this.#bounds.set(bounds);
    const exponentsPlace = arena.take(bounds.length);
    const { buffer, offset } = exponentsPlace;
    this.#exponents = new Uint8Array(buffer, offset, Math.max(0, bounds.length - 1));
    this.#kernels = loadKernels(arena.memory);
    this.#groupSize = groupMicrobatches(length);
  }

  /** The groups of a step of this many microbatches, as `[first, end)`. */
  groups(microbatchCount: number): readonly (readonly [number, number])[] {
    return microbatchGroups(microbatchCount, this.#groupSize);
  }

  /** Where the engine writes the vector of this worker's k-th microbatch of a group. */
  slot(k: number): Float32Array {
    const slot = this.#slots[k];
    if (slot === undefined) {
      throw new RangeError(
        `Cannot hold microbatch ${k} of a group: there are ${this.#slots.length} slots`,
      );
    }
    return slot;
  }

  /** Forgets the last step's sum. */
  begin(): void {
    this.vector.fill(0);
  }

  /**
   * Adds a group's sum over all ranks to `vector`.
   * @param held how many slots this worker has filled
   * @param groupCount microbatches of the group over all ranks
   */
  async addGroup(
    held: number,
    groupCount: number,
    ring: ExactRing,
    signal: AbortSignal,
  ): Promise<void> {
    const kernels = this.#kernels;
    const slots = this.#slots.slice(0, held);
    const quantisation = {
      bounds: this.#bounds,
      exponents: this.#exponents,
      bits: magnitudeBits(groupCount),
    };
    this.#exponents.fill(0);
    for (const slot of slots) kernels.raiseExponents(this.#exponents, slot, this.#bounds);
    await ring.maxBytes(this.#exponents, signal);
    const first = this.slot(0);
    if (held === 0) first.fill(0);
    else kernels.quantiseInPlace(first, quantisation);
    const sums = new Int32Array(first.buffer, first.byteOffset, first.length);
    for (const slot of slots.slice(1)) kernels.quantiseAdd(sums, slot, quantisation);
    await ring.sumIntegers(sums, signal);
    kernels.scaleBackAdd(this.vector, sums, quantisation);
  }
}
