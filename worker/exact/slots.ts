/**
 * Where the microbatches of a group wait for their exponents. A slot holds one microbatch's vector: all parts in order, of
 * row parts only the rows that the microbatch has touched. The first slot has room for the whole vector, because its
 * memory becomes the group's integers: those of whole parts where the values are, rows behind them.
 */
import { arenaBytes, type Arena } from "./arena.ts";
import type { BlockLayout, RowPart } from "./block-layout.ts";
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

/** A group's runs: whole parts are the same blocks in all slots, rows differ. */
export interface GroupRuns {
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

/** Bytes of an arena that slots take. */
export function slotBytes(form: SlotForm, slotCount: number): number {
  const { length, given, rows, rowBlocks, blocks } = roomOf(form);
  const words = [length, rows, blocks].map((count) => arenaBytes(count * 4));
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

  constructor(arena: Arena, form: SlotForm, slotCount: number) {
    this.#form = form;
    const { length, given, rows, rowBlocks, blocks } = roomOf(form);
    const first = arena.floats(length);
    this.sums = new Int32Array(first.buffer, first.byteOffset, length);
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

  /** The runs of the first `held` slots. What slot 0 has of rows is moved: call it once per group. */
  runs(held: number): GroupRuns {
    const wholes = wholeStretches(this.#form).map((): Float32Array[] => []);
    const rows: Run[] = [];
    for (const [k, slot] of this.#slots.slice(0, held).entries()) {
      if (slot.touched === null)
        throw new Error(`Cannot add microbatch ${k} as its rows are unknown`);
      const walked = walkSlot(this.#form, slot.touched);
      for (const [index, offset] of walked.wholeOffsets.entries()) {
        wholes[index]?.push(slot.vector.subarray(offset));
      }
      const keys = this.#form.byKeys ? [this.#keyOf(slot, k)] : null;
      rows.push(...this.#rowRuns(slot, { offsets: walked.rowOffsets, keys }, k === 0));
    }
    const keys = this.#slots.slice(0, held).map((slot, k) => this.#keyOf(slot, k));
    const wideBlock = this.#form.layout.firstBlocks[this.#form.wideFrom] ?? 0;
    const whole = wholeStretches(this.#form).map(([first, end], index): Run => ({
      sources: wholes[index] ?? [],
      keys: this.#form.byKeys && first < wideBlock ? keys : null,
      blocks: this.#allBlocks.subarray(first, end),
    }));
    return { whole: held === 0 ? [] : whole, rows };
  }

  #keyOf({ key }: Slot, k: number): number {
    if (key === null && this.#form.byKeys)
      throw new Error(`Cannot round microbatch ${k} as its key is unknown`);
    return key ?? 0;
  }

  #rowRuns(
    slot: Slot,
    { offsets, keys }: { readonly offsets: readonly number[]; readonly keys: number[] | null },
    moved: boolean,
  ): Run[] {
    const form = this.#form;
    let listed = 0;
    let put = 0;
    return form.rowParts.map((row, index): Run => {
      const rows = slot.touched?.[index]?.rows ?? new Int32Array(0);
      const perRow = blocksOfRow(form, row);
      const first = form.layout.firstBlocks[row.part] ?? 0;
      const blocks = slot.rowBlocks.subarray(listed, listed + rows.length * perRow);
      blocks.set(
        blocks.map((_, i) => first + (rows[Math.floor(i / perRow)] ?? 0) * perRow + (i % perRow)),
      );
      listed += blocks.length;
      const offset = offsets[index] ?? 0;
      const values = slot.vector.subarray(offset, offset + rows.length * sizeOfRow(form, row));
      if (!moved) return { sources: [values], keys, blocks };
      const aside = this.#aside.subarray(put, put + values.length);
      aside.set(values);
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

/** Blocks `[first, end)` of whole parts that follow one another and are rounded alike. */
export function wholeStretches({ partSizes, rowParts, wideFrom, layout }: SlotForm) {
  const edges = [-1, ...rowParts.map(({ part }) => part), partSizes.length];
  const { firstBlocks } = layout;
  const wideBlock = firstBlocks[wideFrom] ?? 0;
  return edges.slice(1).flatMap((edge, index): (readonly [number, number])[] => {
    const first = firstBlocks[(edges[index] ?? -1) + 1] ?? 0;
    const end = firstBlocks[edge] ?? 0;
    const cut = Math.min(Math.max(first, wideBlock), end);
    return (
      [
        [first, cut],
        [cut, end],
      ] as const
    ).filter(([from, to]) => to > from);
  });
}

/** Offsets within a slot of the stretches of whole parts, and of each row part's rows. */
function walkSlot(form: SlotForm, touched: readonly TouchedRows[]) {
  const { partSizes, rowParts } = form;
  const rowOffsets: number[] = [];
  const wholeOffsets: number[] = [];
  let offset = 0;
  let inStretch = false;
  for (const [part, size] of partSizes.entries()) {
    const index = rowParts.findIndex((row) => row.part === part);
    const row = rowParts[index];
    if (row !== undefined) {
      rowOffsets.push(offset);
      offset += (touched[index]?.room ?? 0) * sizeOfRow(form, row);
      inStretch = false;
      continue;
    }
    // Where wide parts begin a stretch begins too.
    if (part === form.wideFrom) inStretch = false;
    if (!inStretch && size > 0) {
      wholeOffsets.push(offset);
      inStretch = true;
    }
    offset += size;
  }
  return { rowOffsets, wholeOffsets };
}
