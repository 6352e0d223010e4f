/**
 * The sum of a step's microbatches as floats, without the exponents and integers of `exact-sum.ts`: a worker adds up its own,
 * then the ring adds up the workers'. All ranks end with the same bits, but which ones depends on how many there are. Kept to
 * show what exactness costs. Of tensors that are looked up only the rows that somebody touched travel, as in exact sums.
 */
import { Arena, arenaBytes } from "./arena.ts";
import { layOutBlocks, microbatchGroups, type BlockLayout, type RowPart } from "./block-layout.ts";
import type { Bucket } from "./buckets.ts";
import type { GradientSum, OpenGroup, SumRing } from "./gradient-sum.ts";
import { cutPieces, pieceAt, type Piece } from "./pieces.ts";
import type { TouchedRows } from "./slots.ts";

/** Parts that lie one after the other in the vector: whole ones together, a row part by itself. */
interface Stretch {
  readonly start: number;
  readonly end: number;
  /** Null for whole parts. */
  readonly rows: Rows | null;
}

/** The rows of a row part. */
interface Rows {
  readonly part: number;
  /** Place among the row parts. */
  readonly index: number;
  /** Where their flags begin. */
  readonly flagsAt: number;
  readonly count: number;
  /** Elements of one. */
  readonly size: number;
}

/** Sums over one table; made once per set of programs. */
export class FloatSum implements GradientSum {
  readonly vector: Float32Array;
  readonly scatters = false;
  readonly proof = null;
  readonly pieces: readonly Piece[];
  readonly gradientParts: number;
  readonly #layout: BlockLayout;
  /** The layout's bounds, and a sum of squares for each block, where kernels can read them. */
  readonly #bounds: Uint32Array;
  readonly #squares: Float64Array;
  readonly #partSizes: readonly number[];
  readonly #stretches: readonly Stretch[];
  readonly #arena: Arena;
  readonly #slot: Float32Array;
  /** A byte for each row of the row parts: 1 where somebody touched it in the step at hand. */
  readonly #flags: Uint8Array;
  /** Touched rows of all row parts, one after the other, while they travel. */
  readonly #packed: Float32Array;
  #touched: readonly TouchedRows[] = [];
  #isEmpty = true;

  /**
   * @param partSizes elements of each part of the vector (tensors, buffers, scalars)
   * @param rowParts parts that are exchanged by rows, in order
   * @param gradientParts how many parts are gradients; by default all
   */
  constructor(
    partSizes: readonly number[],
    rowParts: readonly RowPart[] = [],
    gradientParts = partSizes.length,
  ) {
    const given = rowParts.filter(({ rows, capacity }) => capacity < rows);
    this.#layout = layOutBlocks(partSizes, given);
    this.pieces = cutPieces(this.#layout, given);
    this.gradientParts = gradientParts;
    const { bounds } = this.#layout;
    this.#partSizes = partSizes;
    this.#stretches = layOutStretches(partSizes, given);
    const total = (values: readonly number[]): number => values.reduce((sum, one) => sum + one, 0);
    const length = total(partSizes);
    const flags = total(given.map(({ rows }) => rows));
    const packed = total(given.map(({ part }) => partSizes[part] ?? 0));
    const inSlots = given.map(
      ({ part, rows, capacity }) => ((partSizes[part] ?? 0) / rows) * capacity,
    );
    const slot = length - packed + total(inSlots);
    const floats = [length, packed, slot].map((count) => arenaBytes(count * 4));
    const squares = arenaBytes(bounds.byteLength) + arenaBytes((bounds.length - 1) * 8);
    this.#arena = new Arena(total(floats) + arenaBytes(flags) + squares);
    this.vector = this.#arena.floats(length);
    this.#packed = this.#arena.floats(packed);
    this.#slot = this.#arena.floats(slot);
    this.#flags = this.#arena.bytes(flags);
    this.#bounds = this.#arena.words(bounds.length);
    this.#bounds.set(bounds);
    this.#squares = this.#arena.doubles(bounds.length - 1);
  }

  bytesOf(piece: number): readonly Uint8Array[] {
    const { part, firstBlock, endBlock } = pieceAt(this.pieces, piece);
    const { bounds, firstBlocks } = this.#layout;
    const [start = 0, end = 0] = [bounds[firstBlock], bounds[endBlock]];
    const stretch = this.#stretches.find(({ rows }) => rows?.part === part);
    if (stretch?.rows == null) return [bytesOf(this.vector.subarray(start, end))];
    const { size } = stretch.rows;
    const partStart = bounds[firstBlocks[part] ?? 0] ?? 0;
    const [first, stop] = [(start - partStart) / size, (end - partStart) / size];
    const rows = this.#touchedRows(stretch).filter((row) => row >= first && row < stop);
    const numbers = Uint32Array.from(rows, (row) => row - first);
    const values = rows.map((row) => bytesOf(this.#row(stretch, row)));
    return [new Uint8Array(numbers.buffer), ...values];
  }

  squaresOf(piece: number): number {
    const { firstBlock, endBlock } = pieceAt(this.pieces, piece);
    const squares = this.#squares.subarray(firstBlock, endBlock);
    this.#arena.kernels.sumSquares(
      squares,
      this.vector,
      this.#bounds.subarray(firstBlock, endBlock + 1),
    );
    return squares.reduce((sum, square) => sum + square, 0);
  }

  /** One microbatch a group: each is added as soon as it is there. */
  groups(microbatchCount: number): readonly (readonly [number, number])[] {
    return microbatchGroups(microbatchCount, 1);
  }

  slot(k: number): Float32Array {
    if (k !== 0) throw new RangeError(`Cannot hold microbatch ${k} of a group: there is 1 slot`);
    return this.#slot;
  }

  touch(_k: number, touched: readonly TouchedRows[]): void {
    this.#touched = touched;
  }

  roundBy(): void {
    // Nothing is rounded.
  }

  begin(): void {
    this.#forTouched((row) => row.fill(0));
    this.#flags.fill(0);
    this.#isEmpty = true;
  }

  /** One: nothing is exchanged before the step's end. */
  buckets(): readonly Bucket[] {
    return [{ first: 0, end: this.#partSizes.length, isLast: true }];
  }

  openGroup(held: number): OpenGroup {
    const add = (): Promise<void> => {
      if (held > 0) this.#addOwn();
      return Promise.resolve();
    };
    return { add };
  }

  async finish(ring: SumRing, signal: AbortSignal): Promise<void> {
    if (ring.worldSize === 1) return;
    for (const { start, end, rows } of this.#stretches) {
      if (rows !== null) continue;
      const values = this.vector.subarray(start, end);
      if (this.#isEmpty) values.fill(0);
      await ring.sumFloats(values, signal);
    }
    if (this.#flags.length === 0) return;
    await ring.maxBytes(this.#flags, signal);
    let count = 0;
    this.#forTouched((row) => {
      this.#packed.set(row, count);
      count += row.length;
    });
    await ring.sumFloats(this.#packed.subarray(0, count), signal);
    count = 0;
    this.#forTouched((row) => {
      row.set(this.#packed.subarray(count, count + row.length));
      count += row.length;
    });
  }

  commit(): void {
    // The sum is kept until the next one begins in any case.
  }

  overwritten(): void {
    // No row is zero.
    this.#flags.fill(1);
  }

  /** Adds the slot's vector, whole parts first; the first one of a step takes the place of what is left of another. */
  #addOwn(): void {
    const { kernels } = this.#arena;
    let at = 0;
    for (const { start, end, rows } of this.#stretches) {
      if (rows !== null) continue;
      const values = this.#slot.subarray(at, at + end - start);
      const sums = this.vector.subarray(start, end);
      if (this.#isEmpty) sums.set(values);
      else kernels.addFloats(sums, values);
      at += values.length;
    }
    for (const stretch of this.#stretches) {
      const { rows } = stretch;
      if (rows === null) continue;
      const { rows: touched, room } = this.#touched[rows.index] ?? { rows: [], room: 0 };
      for (const [place, row] of touched.entries()) {
        const from = at + place * rows.size;
        this.#flags[rows.flagsAt + row] = 1;
        kernels.addFloats(this.#row(stretch, row), this.#slot.subarray(from, from + rows.size));
      }
      at += room * rows.size;
    }
    this.#isEmpty = false;
  }

  #forTouched(use: (row: Float32Array) => void): void {
    for (const stretch of this.#stretches) {
      for (const row of this.#touchedRows(stretch)) use(this.#row(stretch, row));
    }
  }

  #touchedRows({ rows }: Stretch): number[] {
    const touched: number[] = [];
    const { flagsAt = 0, count = 0 } = rows ?? {};
    for (let row = 0; row < count; row++) if (this.#flags[flagsAt + row] === 1) touched.push(row);
    return touched;
  }

  #row({ start, rows }: Stretch, row: number): Float32Array {
    const size = rows?.size ?? 0;
    return this.vector.subarray(start + row * size, start + (row + 1) * size);
  }
}

function bytesOf({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
  return new Uint8Array(buffer, byteOffset, byteLength);
}

function layOutStretches(partSizes: readonly number[], rowParts: readonly RowPart[]): Stretch[] {
  const stretches: Stretch[] = [];
  let start = 0;
  let flagsAt = 0;
  for (const [part, size] of partSizes.entries()) {
    const end = start + size;
    const index = rowParts.findIndex((row) => row.part === part);
    const row = rowParts[index];
    const last = stretches.at(-1);
    if (row !== undefined) {
      const rows = { part, index, flagsAt, count: row.rows, size: size / row.rows };
      stretches.push({ start, end, rows });
      flagsAt += row.rows;
    } else if (last?.rows === null) {
      stretches[stretches.length - 1] = { ...last, end };
    } else {
      stretches.push({ start, end, rows: null });
    }
    start = end;
  }
  return stretches;
}
