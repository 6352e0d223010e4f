/**
 * The exact sum of a step's microbatches over all workers: holds the microbatches' vectors of a group, agrees on
 * exponents, adds integers within the worker and around the ring, and adds the group's sum to the step's vector.
 */
import { Arena, arenaBytes, arenaBytesMax, arenaOwnBytes } from "./arena.ts";
import {
  groupMicrobatches,
  layOutBlocks,
  magnitudeBits,
  microbatchGroups,
  type RowPart,
} from "./block-layout.ts";
import type { ExactKernels, Grid } from "./kernels.ts";
import { slotBytes, Slots, wholeStretches, type SlotForm, type TouchedRows } from "./slots.ts";

/** What the exact sum needs of a ring: reductions that depend on nothing but the values. */
export interface ExactRing {
  /** Ranks; the only one has nothing to exchange. */
  readonly worldSize: number;
  /** Sums integers over all ranks, in place. */
  sumIntegers(vector: Int32Array, signal: AbortSignal): Promise<void>;
  /** Keeps the largest byte of all ranks at each place. */
  maxBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
}

/** A sum of a step, and which of its blocks are not zero. */
interface Sum {
  readonly vector: Float32Array;
  readonly filled: Uint8Array;
}

/** The sum of a step that was committed. */
export interface CommittedSum {
  readonly step: number;
  /** Valid until the next commit. */
  readonly vector: Float32Array;
}

/** Sums over one table; made once per set of programs. */
export class ExactSum {
  readonly #form: SlotForm;
  readonly #slots: Slots;
  readonly #grid: Omit<Grid, "filled">;
  readonly #kernels: ExactKernels;
  readonly #groupSize: number;
  #current: Sum;
  /** The other vector, or the same where there is no room for two. */
  #other: Sum;
  /** The last committed step, and whether `#current` is its sum (or `#other`). */
  #committed: { readonly step: number; readonly isCurrent: boolean } | null = null;

  /**
   * @param partSizes elements of each part of the vector (tensors, buffers, scalars); no block crosses a part
   * @param slotCount most microbatches that this worker computes in one group
   * @param rowParts parts that are exchanged by rows, in order
   * @throws RangeError where the vectors need more than the 4 GiB that WebAssembly can address
   */
  constructor(partSizes: readonly number[], slotCount: number, rowParts: readonly RowPart[] = []) {
    const layout = layOutBlocks(partSizes, rowParts);
    const { bounds } = layout;
    const given = rowParts.filter(({ rows, capacity }) => capacity < rows);
    this.#form = { partSizes, rowParts: given, layout };
    const slots = Math.max(1, slotCount);
    const blocks = bounds.length - 1;
    const length = bounds.at(-1) ?? 0;
    const sumBytes = arenaBytes(length * 4) + arenaBytes(blocks);
    const gridBytes = 2 * arenaBytes(bounds.byteLength) + arenaBytes(blocks);
    const bytes = slotBytes(this.#form, slots) + gridBytes + sumBytes;
    const keepsTwo = arenaOwnBytes + bytes + sumBytes <= arenaBytesMax;
    const arena = new Arena(keepsTwo ? bytes + sumBytes : bytes);
    const makeSum = (): Sum => ({ vector: arena.floats(length), filled: arena.bytes(blocks) });
    this.#current = makeSum();
    this.#other = keepsTwo ? makeSum() : this.#current;
    this.#slots = new Slots(arena, this.#form, slots);
    const placed = arena.words(bounds.length);
    placed.set(bounds);
    this.#grid = { bounds: placed, exponents: arena.bytes(blocks), places: arena.words(blocks) };
    this.#kernels = arena.kernels;
    this.#groupSize = groupMicrobatches(length);
  }

  /** The sum over the global batch after the last group; shared with the engine's thread. */
  get vector(): Float32Array {
    return this.#current.vector;
  }

  /**
   * The bytes by which two sums of this form are told apart, part by part in order: all of a whole part; of a row part the
   * numbers of the blocks that are not zero, then those blocks. The same whatever the number of workers.
   */
  pieces(): readonly (readonly Uint8Array[])[] {
    const { vector, filled } = this.#current;
    const { partSizes, rowParts, layout } = this.#form;
    const { bounds, firstBlocks } = layout;
    const bytesOf = (first: number, end: number): Uint8Array => {
      const start = bounds[first] ?? 0;
      const values = vector.subarray(start, bounds[end]);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    };
    return partSizes.map((_, part) => {
      const first = firstBlocks[part] ?? 0;
      const end = firstBlocks[part + 1] ?? first;
      if (!rowParts.some((row) => row.part === part)) return [bytesOf(first, end)];
      const blocks: number[] = [];
      for (let block = first; block < end; block++) if (filled[block] === 1) blocks.push(block);
      const numbers = Uint32Array.from(blocks, (block) => block - first);
      return [new Uint8Array(numbers.buffer), ...blocks.map((block) => bytesOf(block, block + 1))];
    });
  }

  /** The groups of a step of this many microbatches, as `[first, end)`. */
  groups(microbatchCount: number): readonly (readonly [number, number])[] {
    return microbatchGroups(microbatchCount, this.#groupSize);
  }

  /** Where the engine writes the vector of this worker's k-th microbatch of a group. */
  slot(k: number): Float32Array {
    return this.#slots.vector(k);
  }

  /** Says which rows the k-th slot's vector has, by row part; not needed where there are none. */
  touch(k: number, touched: readonly TouchedRows[]): void {
    this.#slots.touch(k, touched);
  }

  /** Begins a step. The last committed step's sum stays; one that was not committed is forgotten. */
  begin(): void {
    if (this.#committed?.isCurrent === true) {
      const { step } = this.#committed;
      this.#committed = this.#other === this.#current ? null : { step, isCurrent: false };
      [this.#current, this.#other] = [this.#other, this.#current];
    }
    const { filled } = this.#current;
    for (let block = 0; block < filled.length; block++) if (filled[block] !== 0) filled[block] = 2;
  }

  /** Keeps the sum that `vector` holds until the next step is committed. */
  commit(step: number): void {
    this.#committed = { step, isCurrent: true };
  }

  /** The sum of the last committed step; null before the first, and where there is no room to keep it. */
  get committed(): CommittedSum | null {
    if (this.#committed === null) return null;
    const { step, isCurrent } = this.#committed;
    return { step, vector: (isCurrent ? this.#current : this.#other).vector };
  }

  /** Keeps what another sum over the same parts has kept. */
  takeOver(from: ExactSum): void {
    const { committed } = from;
    if (committed === null) return;
    this.begin();
    this.#current.vector.set(committed.vector);
    this.#current.filled.fill(1);
    this.commit(committed.step);
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
    const { sums } = this.#slots;
    const { vector, filled } = this.#current;
    const grid: Grid = { ...this.#grid, filled };
    const bits = magnitudeBits(groupCount);
    const { whole, rows } = this.#slots.runs(held);
    grid.exponents.fill(0);
    for (const run of rows) kernels.raiseExponents(run, grid);
    const alone = ring.worldSize === 1;
    if (alone) {
      for (const run of whole) kernels.sumAlone(vector, run, { grid, bits });
    } else {
      for (const run of whole) kernels.raiseExponents(run, grid);
      await ring.maxBytes(grid.exponents, signal);
    }
    const { wholeEnd, end } = this.#place();
    if (held === 0) sums.fill(0, 0, wholeEnd);
    else if (!alone)
      for (const run of whole) kernels.quantise(sums, run, { grid, bits, add: false });
    sums.fill(0, wholeEnd, end);
    for (const run of rows) kernels.quantise(sums, run, { grid, bits, add: true });
    if (!alone) await ring.sumIntegers(sums.subarray(0, end), signal);
    kernels.scaleBack(vector, sums, { grid, bits });
  }

  /** Gives every block that is not zero its place among the integers: whole parts first, rows behind them. */
  #place(): { readonly wholeEnd: number; readonly end: number } {
    const { bounds, exponents, places } = this.#grid;
    const { firstBlocks } = this.#form.layout;
    let place = 0;
    const placeAll = (first: number, end: number): void => {
      for (let block = first; block < end; block++) {
        if (exponents[block] === 0) continue;
        places[block] = place;
        place += (bounds[block + 1] ?? 0) - (bounds[block] ?? 0);
      }
    };
    for (const [first, end] of wholeStretches(this.#form)) placeAll(first, end);
    const wholeEnd = place;
    for (const { part } of this.#form.rowParts) {
      placeAll(firstBlocks[part] ?? 0, firstBlocks[part + 1] ?? 0);
    }
    return { wholeEnd, end: place };
  }
}
