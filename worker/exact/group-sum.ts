/**
 * The sum of one group of microbatches over all workers, bucket by bucket: agrees on a bucket's exponents, makes integers,
 * adds them up around the ring, and adds the bucket's sum to the step's vector.
 */
import { magnitudeBits } from "./block-layout.ts";
import type { Bucket } from "./buckets.ts";
import type { OpenGroup } from "./gradient-sum.ts";
import type { ExactKernels, Grid, Run } from "./kernels.ts";
import type { Ownership, Region } from "./ownership.ts";
import type { Segment } from "../ring/segments.ts";
import type { WireForm } from "../../foundation/gradient-wire.ts";
import type { SumProof } from "./sum-proof.ts";
import type { SlotForm, Slots } from "./slots.ts";
import { WholeSums, type WholeRing } from "./whole-sums.ts";

/** What the exact sum needs of a ring: reductions that depend on nothing but the values. */
export interface ExactRing extends WholeRing {
  /** Ranks; the only one has nothing to exchange. */
  readonly worldSize: number;
  /** Sums integers over all ranks, in place. */
  sumIntegers(vector: Int32Array, signal: AbortSignal): Promise<void>;
  /** The same of integers whose sums fit into that many bits, which may be all that travels. */
  sumNarrow(vector: Int32Array, bits: 8 | 16, signal: AbortSignal): Promise<void>;
  /** Sums integers of so many bits so that each rank ends with the sums of its segment; the rest is undefined. */
  scatterIntegers(
    vector: Int32Array,
    how: { readonly bits: 8 | 16 | 32; readonly segments: readonly Segment[] },
    signal: AbortSignal,
  ): Promise<void>;
  /** Keeps the largest byte of all ranks at each place. */
  maxBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
}

/** What a group is added up with. */
export interface GroupGround {
  readonly form: SlotForm;
  readonly wire: WireForm;
  readonly slots: Slots;
  readonly kernels: ExactKernels;
  readonly grid: Grid;
  /** Memory of the kernels' for what other ranks show. */
  readonly scratch: Uint8Array;
  /** The step's sum. */
  readonly vector: Float32Array;
  /** Whether the vector's whole parts are slot 0's: there is no other rank then, and no other group. */
  readonly inPlace: boolean;
  /** Slots that this worker fills. */
  readonly held: number;
  /** Microbatches of the group over all ranks. */
  readonly groupCount: number;
  /** Who is to end with which part of the gradient's sum; null where every rank is to have all. */
  readonly ownership: Ownership | null;
  /** Hears of what is given to owners, and of what they have; null where every rank has all. */
  readonly proof: SumProof | null;
}

/** Where a bucket's integers lie: narrow whole parts, wide ones from `wideAt`, rows (narrow) from `wholeEnd` to `end`. */
interface Places {
  readonly start: number;
  readonly wideAt: number;
  readonly wholeEnd: number;
  readonly end: number;
}

/** One group of one step. */
export class GroupSum implements OpenGroup {
  readonly #ground: GroupGround;
  /** Bits of a magnitude. */
  readonly #narrow: number;
  readonly #wide: number;
  /** Sums whose integers are not exchanged here; null where all integers are. */
  readonly #wholeSums: WholeSums | null;

  constructor(ground: GroupGround) {
    this.#ground = ground;
    this.#narrow = magnitudeBits(ground.groupCount, ground.wire.bits);
    this.#wide = magnitudeBits(ground.groupCount);
    const exchangesAll = ground.ownership !== null || ground.wire.bits !== 32;
    this.#wholeSums = exchangesAll ? null : new WholeSums({ ...ground, bits: this.#wide });
    ground.grid.exponents.fill(0);
  }

  async add(bucket: Bucket, ring: ExactRing, signal: AbortSignal): Promise<void> {
    const { kernels, grid, slots, held, vector, inPlace } = this.#ground;
    const { sums } = slots;
    const alone = ring.worldSize === 1;
    // What others have is put into the vector while slots are still read.
    if (inPlace && !alone) throw new Error("Cannot sum in place as there are other ranks");
    const bitsOf = ({ keys }: Run): number => (keys === null ? this.#wide : this.#narrow);
    const { whole, rows } = slots.runs(held, bucket);
    for (const run of rows) kernels.raiseExponents(run, grid);
    // Whole parts whose sums are made without integers in memory have exponents of 0 by then, so they take no places.
    const isMade = alone || ((await this.#wholeSums?.makeByOwners(whole, ring, signal)) ?? false);
    if (alone) {
      for (const run of whole) kernels.sumAlone(vector, run, { grid, bits: bitsOf(run) });
    } else {
      if (!isMade) for (const run of whole) kernels.raiseExponents(run, grid);
      const agreed = isMade ? this.#rowBlocks(bucket) : this.#agreed(bucket);
      if (agreed !== null) await ring.maxBytes(grid.exponents.subarray(...agreed), signal);
    }
    const carries = !isMade && ring.carrying !== null && this.#wholeSums !== null;
    if (carries) {
      const runs = held === 0 ? slots.zeroRuns(bucket) : whole;
      await this.#wholeSums.carry(runs, ring.carrying, signal);
    }
    const places = this.#place(bucket);
    const { start, wholeEnd, end } = places;
    if (held === 0) sums.fill(0, start, wholeEnd);
    else if (!isMade && !carries)
      for (const run of whole) kernels.quantise(sums, run, { grid, bits: bitsOf(run), add: false });
    sums.fill(0, wholeEnd, end);
    for (const run of rows) kernels.quantise(sums, run, { grid, bits: bitsOf(run), add: true });
    if (!alone) await this.#exchange(bucket, places, ring, signal);
    for (const blocks of alone ? this.#blocks(bucket) : this.#ownBlocks(bucket))
      this.#scaleBack(...blocks);
  }

  /** Sums the integers over all ranks: those of few bits and the others apart. */
  async #exchange(
    bucket: Bucket,
    places: Places,
    ring: ExactRing,
    signal: AbortSignal,
  ): Promise<void> {
    const { sums } = this.#ground.slots;
    const { start, wideAt, wholeEnd, end } = places;
    const { wire, ownership } = this.#ground;
    const { bits } = wire;
    if (ownership !== null) {
      if (wholeEnd > wideAt) await ring.sumIntegers(sums.subarray(wideAt, wholeEnd), signal);
      for (const region of this.#regions(bucket)) await this.#scatter(region, ring, signal);
      return;
    }
    // What is empty is so on all ranks.
    if (bits === 32) {
      if (end > start) await ring.sumIntegers(sums.subarray(start, end), signal);
      return;
    }
    if (wholeEnd > wideAt) await ring.sumIntegers(sums.subarray(wideAt, wholeEnd), signal);
    for (const narrow of [sums.subarray(start, wideAt), sums.subarray(wholeEnd, end)]) {
      if (narrow.length > 0) await ring.sumNarrow(narrow, bits, signal);
    }
  }

  /** Sums a region's integers so that each rank ends with those of its blocks. */
  async #scatter(region: Region, ring: ExactRing, signal: AbortSignal): Promise<void> {
    const { runs } = region;
    const { slots, kernels, ownership, proof, grid } = this.#ground;
    const { places } = grid;
    const number = ownership?.regions.indexOf(region) ?? -1;
    const start = places[runs[0]?.firstBlock ?? 0] ?? 0;
    let end = start;
    const segments = runs.map(({ firstBlock, endBlock }) => {
      const from = end;
      for (let block = firstBlock; block < endBlock; block++) end += this.#integersOf(block);
      return { start: from - start, end: end - start };
    });
    // What is empty is so on all ranks.
    if (end === start) return;
    const how = { bits: this.#ground.wire.bits, segments };
    const integers = slots.sums.subarray(start, end);
    for (const [owner, segment] of segments.entries()) {
      const given = integers.subarray(segment.start, segment.end);
      proof?.gave(number, owner, kernels.checksum(given));
    }
    await ring.scatterIntegers(integers, how, signal);
    const own = segments[ownership?.rank ?? -1];
    proof?.has(number, kernels.checksum(integers.subarray(own?.start, own?.end)));
  }

  /** Integers of a block that take part. */
  #integersOf(block: number): number {
    const { bounds, exponents } = this.#ground.grid;
    return exponents[block] === 0 ? 0 : (bounds[block + 1] ?? 0) - (bounds[block] ?? 0);
  }

  /** The regions that a bucket has. */
  #regions({ first, end, isLast }: Bucket): readonly Region[] {
    const { regions = [] } = this.#ground.ownership ?? {};
    return regions.filter(({ part, byRows }) => (byRows ? isLast : part >= first && part < end));
  }

  /** The blocks of a bucket whose sums this rank has: its own, and those that all have. */
  #ownBlocks(bucket: Bucket): readonly (readonly [number, number])[] {
    const { ownership, form } = this.#ground;
    if (ownership === null) return this.#blocks(bucket);
    const { firstBlocks } = form.layout;
    const own = this.#regions(bucket).map(({ runs }) => {
      const { firstBlock = 0, endBlock = 0 } = runs[ownership.rank] ?? {};
      return [firstBlock, endBlock] as const;
    });
    const all = [
      firstBlocks[Math.max(bucket.first, form.wideFrom)] ?? 0,
      firstBlocks[bucket.end] ?? 0,
    ] as const;
    return [...own, all].filter(([first, end]) => end > first);
  }

  /**
   * Gives every block of a bucket that is not zero its place among the integers: whole parts first, rows behind them. A
   * bucket's integers take the memory of its own values; the last bucket's may take all, because nothing else is left, or, where
   * sums lie there already, that of slot 0's rows.
   */
  #place(bucket: Bucket): Places {
    const { form, slots, grid, inPlace } = this.#ground;
    const { firstBlocks } = form.layout;
    const ofRows = inPlace ? slots.wholeLength : 0;
    const start = bucket.isLast ? ofRows : slots.offsetOf(bucket);
    let place = start;
    const placeAll = (first: number, end: number): void => {
      for (let block = first; block < end; block++) {
        grid.places[block] = place;
        place += this.#integersOf(block);
      }
    };
    let wideAt = place;
    for (const [first, end] of slots.wholeBlocks(bucket)) {
      placeAll(first, end);
      if (end <= (firstBlocks[form.wideFrom] ?? 0)) wideAt = place;
    }
    const wholeEnd = place;
    for (const { part } of bucket.isLast ? form.rowParts : []) {
      placeAll(firstBlocks[part] ?? 0, firstBlocks[part + 1] ?? 0);
    }
    return { start, wideAt, wholeEnd, end: place };
  }

  /** The blocks of a bucket as `[first, end)`, in as few pieces as they come in. */
  #blocks({ first, end, isLast }: Bucket): readonly (readonly [number, number])[] {
    const { rowParts, layout } = this.#ground.form;
    const at = (part: number): number => layout.firstBlocks[part] ?? 0;
    const beyond = isLast ? rowParts.filter(({ part }) => part >= end) : [];
    return [[at(first), at(end)], ...beyond.map(({ part }) => [at(part), at(part + 1)] as const)];
  }

  /** The exponents that are agreed on for a bucket. Between row parts there may be others: agreed already, and so the same. */
  #agreed(bucket: Bucket): readonly [number, number] {
    const blocks = this.#blocks(bucket);
    return [blocks[0]?.[0] ?? 0, blocks.at(-1)?.[1] ?? 0];
  }

  /** The blocks from a bucket's first row part to its last; null where it has none. */
  #rowBlocks({ isLast }: Bucket): readonly [number, number] | null {
    const { rowParts, layout } = this.#ground.form;
    const parts = rowParts.map(({ part }) => part);
    if (!isLast || parts.length === 0) return null;
    const { firstBlocks } = layout;
    return [firstBlocks[Math.min(...parts)] ?? 0, firstBlocks[Math.max(...parts) + 1] ?? 0];
  }

  #scaleBack(first: number, end: number): void {
    const { kernels, grid, slots, vector, form } = this.#ground;
    const wideBlock = form.layout.firstBlocks[form.wideFrom] ?? 0;
    const part: Grid = {
      bounds: grid.bounds.subarray(first, end + 1),
      exponents: grid.exponents.subarray(first, end),
      places: grid.places.subarray(first, end),
      filled: grid.filled.subarray(first, end),
      squares: grid.squares.subarray(first, end),
    };
    const wide = { first: wideBlock - first, bits: this.#wide };
    kernels.scaleBack(vector, slots.sums, { grid: part, bits: this.#narrow, wide });
  }
}
