/**
 * The exact sum of a step's microbatches over all workers: holds the microbatches' vectors of a group, agrees on
 * exponents, adds integers within the worker and around the ring, and adds the group's sum to the step's vector.
 */
import { wireForms, type WireForm } from "../../foundation/gradient-wire.ts";
import { Arena, arenaBytes, arenaBytesMax, arenaOwnBytes } from "./arena.ts";
import {
  groupMicrobatches,
  layOutBlocks,
  magnitudeBits,
  microbatchGroups,
  type RowPart,
} from "./block-layout.ts";
import type { ExactKernels, Grid, Run } from "./kernels.ts";
import { slotBytes, Slots, wholeStretches, type SlotForm, type TouchedRows } from "./slots.ts";

/** The format of the integers that are exchanged. */
export interface SumWire {
  readonly form: WireForm;
  /** First of the parts at the end, all of them whole, that always take 32 bits: counts and averages that have to be right. */
  readonly wideFrom: number;
}

/** What the exact sum needs of a ring: reductions that depend on nothing but the values. */
export interface ExactRing {
  /** Ranks; the only one has nothing to exchange. */
  readonly worldSize: number;
  /** Sums integers over all ranks, in place. */
  sumIntegers(vector: Int32Array, signal: AbortSignal): Promise<void>;
  /** The same of integers whose sums fit into that many bits, which may be all that travels. */
  sumNarrow(vector: Int32Array, bits: 8 | 16, signal: AbortSignal): Promise<void>;
  /** Keeps the largest byte of all ranks at each place. */
  maxBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
}

/** A sum of a step, and which of its blocks are not zero. */
interface Sum {
  readonly vector: Float32Array;
  readonly filled: Uint8Array;
}

/** Where the integers lie: narrow whole parts, wide ones from `wideAt`, rows (narrow) from `wholeEnd` to `end`. */
interface SumPlaces {
  readonly wideAt: number;
  readonly wholeEnd: number;
  readonly end: number;
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
  readonly #wire: WireForm;
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
   * @param wire format of the integers; by default all take 32 bits
   * @throws RangeError where the vectors need more than the 4 GiB that WebAssembly can address
   */
  constructor(
    partSizes: readonly number[],
    slotCount: number,
    rowParts: readonly RowPart[] = [],
    wire: SumWire = { form: wireForms.int32, wideFrom: partSizes.length },
  ) {
    const layout = layOutBlocks(partSizes, rowParts, wire.form);
    const { bounds } = layout;
    const given = rowParts.filter(({ rows, capacity }) => capacity < rows);
    this.#wire = wire.form;
    const byKeys = wire.form.bits < 32;
    this.#form = { partSizes, rowParts: given, layout, wideFrom: wire.wideFrom, byKeys };
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
    this.#groupSize = groupMicrobatches(length, wire.form);
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

  /** Says by which key the k-th slot's values are rounded (`roundingKey`); not needed where the wire has 32 bits. */
  roundBy(k: number, key: number): void {
    this.#slots.roundBy(k, key);
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
    const narrow = magnitudeBits(groupCount, this.#wire.bits);
    const wide = magnitudeBits(groupCount);
    const bitsOf = ({ keys }: Run): number => (keys === null ? wide : narrow);
    const { whole, rows } = this.#slots.runs(held);
    grid.exponents.fill(0);
    for (const run of rows) kernels.raiseExponents(run, grid);
    const alone = ring.worldSize === 1;
    if (alone) {
      for (const run of whole) kernels.sumAlone(vector, run, { grid, bits: bitsOf(run) });
    } else {
      for (const run of whole) kernels.raiseExponents(run, grid);
      await ring.maxBytes(grid.exponents, signal);
    }
    const { wideAt, wholeEnd, end } = this.#place();
    if (held === 0) sums.fill(0, 0, wholeEnd);
    else if (!alone)
      for (const run of whole) kernels.quantise(sums, run, { grid, bits: bitsOf(run), add: false });
    sums.fill(0, wholeEnd, end);
    for (const run of rows) kernels.quantise(sums, run, { grid, bits: bitsOf(run), add: true });
    if (!alone) await this.#exchange({ wideAt, wholeEnd, end }, ring, signal);
    const { firstBlocks } = this.#form.layout;
    const first = firstBlocks[this.#form.wideFrom] ?? 0;
    kernels.scaleBack(vector, sums, { grid, bits: narrow, wide: { first, bits: wide } });
  }

  /** Sums the integers over all ranks: those of few bits and the others apart. */
  async #exchange(places: SumPlaces, ring: ExactRing, signal: AbortSignal): Promise<void> {
    const { sums } = this.#slots;
    const { wideAt, wholeEnd, end } = places;
    const { bits } = this.#wire;
    if (bits === 32) {
      await ring.sumIntegers(sums.subarray(0, end), signal);
      return;
    }
    await ring.sumIntegers(sums.subarray(wideAt, wholeEnd), signal);
    for (const narrow of [sums.subarray(0, wideAt), sums.subarray(wholeEnd, end)]) {
      await ring.sumNarrow(narrow, bits, signal);
    }
  }

  /** Gives every block that is not zero its place among the integers: whole parts first, rows behind them. */
  #place(): SumPlaces {
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
    let wideAt = 0;
    for (const [first, end] of wholeStretches(this.#form)) {
      placeAll(first, end);
      if (end <= (firstBlocks[this.#form.wideFrom] ?? 0)) wideAt = place;
    }
    const wholeEnd = place;
    for (const { part } of this.#form.rowParts) {
      placeAll(firstBlocks[part] ?? 0, firstBlocks[part + 1] ?? 0);
    }
    return { wideAt, wholeEnd, end: place };
  }
}
