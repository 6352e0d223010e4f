/**
 * The exact sum of a step's microbatches over all workers: holds the microbatches' vectors of a group, has them added up
 * (`group-sum.ts`), and keeps the sum of the step that was committed last.
 */
import { groupMicrobatches, wireForms, type WireForm } from "../../foundation/gradient-wire.ts";
import { Arena, arenaBytes, arenaBytesMax, arenaOwnBytes, type ArenaMeans } from "./arena.ts";
import { layOutBlocks, microbatchGroups, type RowPart } from "./block-layout.ts";
import { cutBuckets, type Bucket } from "./buckets.ts";
import type { GradientSum } from "./gradient-sum.ts";
import { GroupSum, type ExactRing } from "./group-sum.ts";
import type { ExactKernels, Grid } from "./kernels.ts";
import type { Ownership } from "./ownership.ts";
import { cutPieces, pieceAt, type Piece } from "./pieces.ts";
import { SumProof } from "./sum-proof.ts";
import { slotBytes, Slots, type SlotForm, type TouchedRows } from "./slots.ts";

/** How a sum is exchanged: the format of its integers, and what others may read. */
export interface SumWire {
  readonly form: WireForm;
  /** First of the parts at the end, all of them whole, that always take 32 bits: counts and averages that have to be right. */
  readonly wideFrom: number;
  /** What the vectors' memory is made with; by default nothing. */
  readonly arenaMeans?: ArenaMeans;
}

/** A sum of a step, and which of its blocks are not zero. */
interface Sum {
  readonly vector: Float32Array;
  readonly filled: Uint8Array;
  /** Whether its whole parts are those of slot 0. */
  readonly inPlace: boolean;
}

/** The sum of a step that was committed. */
export interface CommittedSum {
  readonly step: number;
  /** Valid until the next commit. */
  readonly vector: Float32Array;
}

/** Sums over one table; made once per set of programs. */
export class ExactSum implements GradientSum {
  readonly scatters = true;
  readonly pieces: readonly Piece[];
  readonly #form: SlotForm;
  readonly #wire: WireForm;
  readonly #slots: Slots;
  readonly #grid: Omit<Grid, "filled">;
  readonly #kernels: ExactKernels;
  readonly #scratch: Uint8Array;
  readonly #groupSize: number;
  #proof: SumProof | null = null;
  /** Two in turn, so that the last committed one stays; one where there is no room for two. */
  readonly #kept: readonly [Sum, ...Sum[]];
  /** That of a rank that is alone; null where rows lie between whole parts, or there is no room. */
  readonly #inPlace: Sum | null;
  /** This step's. */
  #sum: Sum;
  #committed: { readonly step: number; readonly sum: Sum } | null = null;

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
    const gridBytes =
      2 * arenaBytes(bounds.byteLength) + arenaBytes(blocks) + arenaBytes(blocks * 8);
    const bytes = slotBytes(this.#form, slots) + arenaBytes(length * 4) + gridBytes + sumBytes;
    const inRows = elementsInFront(this.#form);
    const inPlaceBytes = inRows === null ? 0 : arenaBytes(inRows * 4) + arenaBytes(blocks);
    const fits = (more: number): boolean => arenaOwnBytes + bytes + more <= arenaBytesMax;
    const keepsTwo = fits(sumBytes);
    const sumsInPlace = inRows !== null && fits(sumBytes + inPlaceBytes);
    // What is never written takes no memory: with one rank those are the two sums that follow, with several the rows in front.
    const allBytes = bytes + (keepsTwo ? sumBytes : 0) + (sumsInPlace ? inPlaceBytes : 0);
    const arena = new Arena(allBytes, wire.arenaMeans);
    const front = sumsInPlace ? arena.floats(inRows) : null;
    const first = arena.floats(length);
    this.#slots = new Slots(arena, this.#form, first, slots);
    const makeSum = (): Sum => ({
      vector: arena.floats(length),
      filled: arena.bytes(blocks),
      inPlace: false,
    });
    this.#kept = keepsTwo ? [makeSum(), makeSum()] : [makeSum()];
    const vector = front === null ? null : new Float32Array(front.buffer, front.byteOffset, length);
    this.#inPlace = vector && { vector, filled: arena.bytes(blocks), inPlace: true };
    [this.#sum] = this.#kept;
    const placed = arena.words(bounds.length);
    placed.set(bounds);
    this.#grid = {
      bounds: placed,
      exponents: arena.bytes(blocks),
      places: arena.words(blocks),
      squares: arena.doubles(blocks),
    };
    this.pieces = cutPieces(layout, given);
    this.#kernels = arena.kernels;
    this.#scratch = arena.operand;
    this.#groupSize = groupMicrobatches(length, wire.form);
  }

  /** The sum over the global batch after the last group; shared with the engine's thread. */
  get vector(): Float32Array {
    return this.#sum.vector;
  }

  get proof(): SumProof | null {
    return this.#proof;
  }

  get gradientParts(): number {
    return this.#form.wideFrom;
  }

  /** The same bytes whatever the number of workers. */
  bytesOf(piece: number): readonly Uint8Array[] {
    const { vector, filled } = this.#sum;
    const { rowParts, layout } = this.#form;
    const { bounds } = layout;
    const { part, firstBlock, endBlock } = pieceAt(this.pieces, piece);
    const ofBlocks = (first: number, end: number): Uint8Array => {
      const values = vector.subarray(bounds[first], bounds[end]);
      return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    };
    if (!rowParts.some((row) => row.part === part)) return [ofBlocks(firstBlock, endBlock)];
    const blocks: number[] = [];
    for (let block = firstBlock; block < endBlock; block++)
      if (filled[block] === 1) blocks.push(block);
    const numbers = Uint32Array.from(blocks, (block) => block - firstBlock);
    return [new Uint8Array(numbers.buffer), ...blocks.map((block) => ofBlocks(block, block + 1))];
  }

  squaresOf(piece: number): number {
    const { filled } = this.#sum;
    const { squares } = this.#grid;
    const { firstBlock, endBlock } = pieceAt(this.pieces, piece);
    let sum = 0;
    for (let block = firstBlock; block < endBlock; block++)
      if (filled[block] === 1) sum += squares[block] ?? 0;
    return sum;
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

  /**
   * Begins a step. The last committed step's sum stays, but not where this rank is alone: then whole parts are summed where slot
   * 0 has them, and nobody is there to ask for it. One that was not committed is forgotten.
   */
  begin(isAlone = false): void {
    this.#proof = null;
    const [first, second = first] = this.#kept;
    const kept = this.#committed?.sum === first ? second : first;
    this.#sum = (isAlone ? this.#inPlace : null) ?? kept;
    if (this.#sum.inPlace || this.#sum === this.#committed?.sum) this.#committed = null;
    const { filled, inPlace } = this.#sum;
    for (let block = 0; block < filled.length; block++) if (filled[block] !== 0) filled[block] = 2;
    // The microbatch has been written over all of them.
    if (inPlace) filled.fill(2, this.#form.layout.firstBlocks[this.#form.rowParts.length]);
  }

  /** Keeps the sum that `vector` holds until the next step is committed; of a rank that is alone, nothing. */
  commit(step: number): void {
    this.#committed = this.#sum.inPlace ? null : { step, sum: this.#sum };
  }

  /** Something else has been written to `vector`: no sum is kept, and no block of it is zero. */
  overwritten(): void {
    this.#sum.filled.fill(2);
    this.#committed = null;
  }

  /** The sum of the last committed step; null before the first, and where it is not kept. */
  get committed(): CommittedSum | null {
    if (this.#committed === null) return null;
    const { step, sum } = this.#committed;
    return { step, vector: sum.vector };
  }

  /** Keeps what another sum over the same parts has kept. */
  takeOver(from: ExactSum): void {
    const { committed } = from;
    if (committed === null) return;
    this.begin();
    this.#sum.vector.set(committed.vector);
    this.#sum.filled.fill(1);
    this.commit(committed.step);
  }

  /** What is exchanged together, in order (`cutBuckets`). */
  buckets(count: number, microbatches: number): readonly Bucket[] {
    return cutBuckets(this.#form, { count, microbatches });
  }

  /**
   * Begins to add a group's sum over all ranks to `vector`; the group before must have been added whole.
   * @param held how many slots this worker fills
   * @param groupCount microbatches of the group over all ranks
   * @param ownership who is to end with what; null where every rank is to have all
   */
  openGroup(held: number, groupCount: number, ownership: Ownership | null = null): GroupSum {
    const { vector, filled, inPlace } = this.#sum;
    if (ownership !== null)
      this.#proof ??= new SumProof(ownership.regions.length, ownership.rankCount);
    return new GroupSum({
      form: this.#form,
      wire: this.#wire,
      slots: this.#slots,
      kernels: this.#kernels,
      grid: { ...this.#grid, filled },
      scratch: this.#scratch,
      vector,
      inPlace,
      held,
      groupCount,
      ownership,
      proof: this.#proof,
    });
  }

  /** Adds a group's sum over all ranks to `vector`, in one bucket. */
  async addGroup(
    held: number,
    groupCount: number,
    ring: ExactRing,
    signal: AbortSignal,
  ): Promise<void> {
    const group = this.openGroup(held, groupCount);
    for (const bucket of this.buckets(1, groupCount)) await group.add(bucket, ring, signal);
  }

  /** Nothing is left to be done: every group was added over all ranks. */
  finish(): Promise<void> {
    return Promise.resolve();
  }
}

/** Elements of row parts where they lie in front of all whole parts and what follows is aligned; null elsewhere. */
function elementsInFront({ layout, rowParts }: SlotForm): number | null {
  const { bounds, firstBlocks } = layout;
  if (!rowParts.every(({ part }, index) => part === index)) return null;
  const elements = bounds[firstBlocks[rowParts.length] ?? 0] ?? 0;
  return arenaBytes(elements * 4) === elements * 4 ? elements : null;
}
