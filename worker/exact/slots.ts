/**
 * Where the microbatches of a group wait for their exponents. A slot holds one microbatch's vector: whole parts in order,
 * then of row parts the rows that the microbatch has touched. The first slot has room for the whole vector, because its
 * memory becomes the group's integers: those of whole parts where the values are, rows behind them.
 */
import { arenaBytes, copyBytes, type Arena } from "./arena.ts";
import { bytesOf } from "./cut-shares.ts";
import type { BlockLayout, RowPart } from "./block-layout.ts";
import type { Bucket } from "./buckets.ts";
import type { Run } from "./kernels.ts";

/** Rows of a row part that a microbatch gave. */
export interface TouchedRows {
  /** Numbers of the rows, each once, in the order of the vector. */
  readonly rows: Int32Array;
  /** Rows that the part takes in the vector; those beyond `rows` are left alone. */
  readonly room: number;
}

/** What is laid out in slots. */
export interface SlotForm {
  readonly partSizes: readonly number[];
  /** Parts of which microbatches give rows, in order. */
  readonly rowParts: readonly RowPart[];
  /** First of the parts, all of them whole, whose integers have 32 bits and are rounded to the nearest; as many as parts for none. */
  readonly wideFrom: number;
  /** Whether the other parts are rounded by keys. */
  readonly byKeys: boolean;
  readonly layout: BlockLayout;
}

interface Slot {
  readonly vector: Float32Array;
  /** Numbers of the blocks of all touched rows. */
  readonly rowBlocks: Uint32Array;
  touched: readonly TouchedRows[] | null;
  key: number | null;
}

/** A bucket's runs: whole parts are the same blocks in all slots, rows differ. */
export interface BucketRuns {
  readonly whole: readonly Run[];
  readonly rows: readonly Run[];
}

/** Elements and blocks that slots have room for. */
function roomOf(form: SlotForm) {
  const { partSizes, rowParts, layout } = form;
  const length = partSizes.reduce((sum, size) => sum + size, 0);
  const inRows = rowParts.reduce((sum, { part }) => sum + (partSizes[part] ?? 0), 0);
  const rows = rowParts.reduce((sum, row) => sum + row.capacity * sizeOfRow(form, row), 0);
  const rowBlocks = rowParts.reduce((sum, row) => sum + row.capacity * blocksOfRow(form, row), 0);
  return {
    length,
    given: length - inRows + rows,
    rows,
    rowBlocks,
    blocks: layout.bounds.length - 1,
  };
}

/** Bytes of an arena that slots take beside the first one's vector. */
export function slotBytes(form: SlotForm, slotCount: number): number {
  const { given, rows, rowBlocks, blocks } = roomOf(form);
  const words = [rows, blocks].map((count) => arenaBytes(count * 4));
  const further = (slotCount - 1) * arenaBytes(given * 4) + slotCount * arenaBytes(rowBlocks * 4);
  return words.reduce((sum, bytes) => sum + bytes, further);
}

/** The slots of one sum. */
export class Slots {
  /** The group's integers: the memory of slot 0. */
  readonly sums: Int32Array;
  readonly #form: SlotForm;
  readonly #slots: readonly Slot[];
  /** Slot 0's rows, which the integers would overwrite before they are read. */
  readonly #aside: Float32Array;
  readonly #allBlocks: Uint32Array;
  readonly #offsets: readonly number[];

  /** @param first memory of slot 0, of the arena: as long as the whole vector */
  constructor(arena: Arena, form: SlotForm, first: Float32Array, slotCount: number) {
    this.#form = form;
    this.#offsets = wholeOffsets(form);
    const { given, rows, rowBlocks, blocks } = roomOf(form);
    this.sums = new Int32Array(first.buffer, first.byteOffset, first.length);
    this.#slots = Array.from({ length: slotCount }, (_, k) => ({
      vector: k === 0 ? first.subarray(0, given) : arena.floats(given),
      rowBlocks: arena.words(rowBlocks),
      touched: form.rowParts.length === 0 ? [] : null,
      key: null,
    }));
    this.#aside = arena.floats(rows);
    this.#allBlocks = arena.words(blocks);
    this.#allBlocks.set(this.#allBlocks.map((_, block) => block));
  }

  get count(): number {
    return this.#slots.length;
  }

  /** Where the k-th microbatch's vector is written. Throws RangeError beyond the last slot. */
  vector(k: number): Float32Array {
    return this.#slot(k).vector;
  }

  /** Says which rows the k-th microbatch's vector holds, by row part. Throws RangeError for what does not fit. */
  touch(k: number, touched: readonly TouchedRows[]): void {
    const { rowParts } = this.#form;
    if (touched.length !== rowParts.length) {
      throw new RangeError(
        `Cannot hold rows of ${touched.length} parts: expected ${rowParts.length}`,
      );
    }
    for (const [index, { part, rows, capacity }] of rowParts.entries()) {
      const given = touched[index];
      if (given === undefined) continue;
      const fits = given.rows.length <= given.room && given.room <= capacity;
      if (!fits || !given.rows.every((row) => row >= 0 && row < rows)) {
        throw new RangeError(
          `Cannot hold ${given.rows.length} rows of part ${part}: at most ${capacity} of ${rows}`,
        );
      }
    }
    this.#slot(k).touched = touched;
  }

  /** Says by which key the k-th microbatch's values are rounded; without effect where all are rounded to the nearest. */
  roundBy(k: number, key: number): void {
    this.#slot(k).key = key;
  }

  /** Elements of all whole parts: rows lie behind them. */
  get wholeLength(): number {
    return this.#offsets.at(-1) ?? 0;
  }

  /** Elements before a bucket's whole parts in a slot. */
  offsetOf({ first }: Bucket): number {
    return this.#offsets[first] ?? 0;
  }

  /** The blocks of a bucket's whole parts, as `[first, end)`. */
  wholeBlocks(bucket: Bucket): readonly (readonly [number, number])[] {
    return stretchesOf(this.#form, this.#offsets, bucket).map(
      ({ firstBlock, endBlock }) => [firstBlock, endBlock] as const,
    );
  }

  /** A bucket's runs in the first `held` slots. What slot 0 has of rows is moved: call it once per group. */
  runs(held: number, bucket: Bucket): BucketRuns {
    const slots = this.#slots.slice(0, held);
    const rows = bucket.isLast ? slots.flatMap((slot, k) => this.#rowRuns(slot, k)) : [];
    return { whole: this.#wholeRuns(slots, bucket), rows };
  }

  /** A bucket's whole runs where no slot is filled: zeros, in the memory of slot 0. */
  zeroRuns(bucket: Bucket): readonly Run[] {
    const { bounds } = this.#form.layout;
    const runs = this.#wholeRuns(this.#slots.slice(0, 1), bucket);
    for (const { sources, blocks } of runs) {
      const [first = 0] = blocks;
      const elements = (bounds[first + blocks.length] ?? 0) - (bounds[first] ?? 0);
      for (const source of sources) source.fill(0, 0, elements);
    }
    return runs;
  }

  #wholeRuns(slots: readonly Slot[], bucket: Bucket): readonly Run[] {
    const keys = slots.map((slot, k) => this.#keyOf(slot, k));
    const wideBlock = this.#form.layout.firstBlocks[this.#form.wideFrom] ?? 0;
    return stretchesOf(this.#form, this.#offsets, bucket).map(
      ({ firstBlock, endBlock, offset }): Run => ({
        sources: slots.map(({ vector }) => vector.subarray(offset)),
        keys: this.#form.byKeys && firstBlock < wideBlock ? keys : null,
        blocks: this.#allBlocks.subarray(firstBlock, endBlock),
      }),
    );
  }

  #keyOf({ key }: Slot, k: number): number {
    if (key === null && this.#form.byKeys)
      throw new Error(`Cannot round microbatch ${k} as its key is unknown`);
    return key ?? 0;
  }

  /** Runs of the rows of the k-th slot, by row part. */
  #rowRuns(slot: Slot, k: number): Run[] {
    const form = this.#form;
    const { touched } = slot;
    if (touched === null) throw new Error(`Cannot add microbatch ${k} as its rows are unknown`);
    const keys = form.byKeys ? [this.#keyOf(slot, k)] : null;
    let listed = 0;
    let put = 0;
    let offset = this.wholeLength;
    return form.rowParts.map((row, index): Run => {
      const { rows, room } = touched[index] ?? { rows: new Int32Array(0), room: 0 };
      const perRow = blocksOfRow(form, row);
      const first = form.layout.firstBlocks[row.part] ?? 0;
      const blocks = slot.rowBlocks.subarray(listed, listed + rows.length * perRow);
      blocks.set(
        blocks.map((_, i) => first + (rows[Math.floor(i / perRow)] ?? 0) * perRow + (i % perRow)),
      );
      listed += blocks.length;
      const values = slot.vector.subarray(offset, offset + rows.length * sizeOfRow(form, row));
      offset += room * sizeOfRow(form, row);
      if (k !== 0) return { sources: [values], keys, blocks };
      const aside = this.#aside.subarray(put, put + values.length);
      copyBytes(bytesOf(aside), bytesOf(values));
      put += values.length;
      return { sources: [aside], keys, blocks };
    });
  }

  #slot(k: number): Slot {
    const slot = this.#slots[k];
    if (slot === undefined) {
      throw new RangeError(`Cannot hold microbatch ${k} of a group: there are ${this.count} slots`);
    }
    return slot;
  }
}

function sizeOfRow({ partSizes }: SlotForm, { part, rows }: RowPart): number {
  return (partSizes[part] ?? 0) / rows;
}

function blocksOfRow({ layout }: SlotForm, { part, rows }: RowPart): number {
  const { firstBlocks } = layout;
  return ((firstBlocks[part + 1] ?? 0) - (firstBlocks[part] ?? 0)) / rows;
}

/** Whole parts of a bucket that follow one another and are rounded alike. */
interface Stretch {
  /** Blocks `[firstBlock, endBlock)`. */
  readonly firstBlock: number;
  readonly endBlock: number;
  /** Elements before it in a slot. */
  readonly offset: number;
}

/** Elements before each whole part in a slot; after the last part, all of them. Of row parts it has no meaning. */
function wholeOffsets({ partSizes, rowParts }: SlotForm): readonly number[] {
  const byRows = new Set(rowParts.map(({ part }) => part));
  const offsets = [0];
  for (const [part, size] of partSizes.entries()) {
    offsets.push((offsets[part] ?? 0) + (byRows.has(part) ? 0 : size));
  }
  return offsets;
}

/** The stretches of whole parts that a bucket has. */
function stretchesOf(
  { partSizes, rowParts, wideFrom, layout }: SlotForm,
  offsets: readonly number[],
  { first, end }: Bucket,
): readonly Stretch[] {
  const byRows = new Set(rowParts.map(({ part }) => part));
  const { firstBlocks } = layout;
  const stretches: Stretch[] = [];
  let from = first;
  const close = (to: number): void => {
    const [firstBlock = 0, endBlock = 0] = [firstBlocks[from], firstBlocks[to]];
    if (endBlock > firstBlock) {
      stretches.push({ firstBlock, endBlock, offset: offsets[from] ?? 0 });
    }
  };
  for (let part = first; part < end; part++) {
    if (part === wideFrom || byRows.has(part)) {
      close(part);
      from = byRows.has(part) ? part + 1 : part;
    }
  }
  close(Math.min(end, partSizes.length));
  return stretches;
}
