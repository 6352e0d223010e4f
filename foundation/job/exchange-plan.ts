/**
 * The bytes that a worker sends in a step, at most: as a ring would count them, the mean of all workers. Of tensors that are looked up
 * only rows that somebody touched travel, and a step touches no more of them than it has tokens. Pure.
 */
import { networkBuckets } from "../gradient-buckets.ts";
import { groupMicrobatches, wireForms, type GradientWire } from "../gradient-wire.ts";
import type { ParameterTable, TableEntry } from "../parameters/table.ts";
import { packedLength } from "./packs-sequences.ts";

/** What decides it. */
export interface ExchangeForm {
  readonly table: ParameterTable;
  /** Tensors that are looked up by token and used in no other way. */
  readonly lookedUp: readonly string[];
  readonly wire: GradientWire;
  readonly workers: number;
  readonly microbatches: number;
  /** Tokens of a microbatch, at most. */
  readonly tokens: number;
  /** Whether each part of the sum has one owner. */
  readonly isScattered: boolean;
  /** Buckets that somebody has asked for; null for as many as pay. */
  readonly buckets: number | null;
}

const floatBytes = 4;
/** Loss sum and weight, beside the gradients and the buffers. */
const reducedExtras = 2;
/** Of a block of floats whose sum an owner has made. */
const squareBytes = 8;
/** Elements of a piece, about, and what is told of it: hash and squares. */
const pieceElements = 32_768;
const toldBytes = 16;

/** What of a tensor travels: rows that are touched, or the whole of one row. */
interface Part {
  readonly rows: number;
  readonly rowSize: number;
  readonly byRows: boolean;
}

function partOf({ name, shape, size }: TableEntry, { lookedUp, tokens }: ExchangeForm): Part {
  const [rows = 0] = shape;
  return lookedUp.includes(name) && rows > 0
    ? // A table that a microbatch may touch everywhere travels whole.
      { rows, rowSize: size / rows, byRows: packedLength(tokens) < rows }
    : { rows: 1, rowSize: size, byRows: false };
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
  return values.reduce((total, value) => total + of(value), 0);
}

/** Microbatches of each group that is summed by itself. */
function groupsOf({ table, wire, microbatches }: ExchangeForm, buffers: number): number[] {
  const form = wireForms[wire];
  // Plain floats travel once, when all are added up.
  if (!form.exact) return [microbatches];
  const size = groupMicrobatches(table.trainableSize + buffers + reducedExtras, form);
  const count = Math.ceil(microbatches / size);
  return Array.from({ length: count }, (_, at) => Math.min(size, microbatches - at * size));
}

/** Bytes that each worker sends, at most. 0 for a worker that is alone. */
export function exchangeBytesAtMost(form: ExchangeForm): number {
  const { table, wire, workers, tokens, isScattered } = form;
  if (workers === 1) return 0;
  const { bits, blockElements, exact } = wireForms[wire];
  const parts = table.entries
    .filter(({ trainableOffset }) => trainableOffset !== null)
    .map((entry) => partOf(entry, form));
  const buffers = table.entries.filter(({ kind }) => kind === "buffer");
  const bufferElements = sum(buffers, ({ size }) => size);
  const common = bufferElements + reducedExtras;
  const blocksOf = ({ rows, rowSize }: Part): number => rows * Math.ceil(rowSize / blockElements);
  const commonBlocks = reducedExtras + sum(buffers, ({ size }) => Math.ceil(size / blockElements));
  const blocks = sum(parts, blocksOf) + commonBlocks;
  const wholeParts = parts.filter(({ byRows }) => !byRows);
  const squares = squareBytes * (sum(wholeParts, blocksOf) + commonBlocks);
  const tables = parts.filter(({ rows }) => rows > 1);

  /** Reduced to their owners, and gathered from there. */
  const once = (workers - 1) / workers;
  let bytes = 0;
  for (const microbatches of groupsOf(form, bufferElements)) {
    const elements = sum(parts, ({ rows, rowSize, byRows }) =>
      byRows ? Math.min(rows, microbatches * tokens) * rowSize : rows * rowSize,
    );
    bytes += (isScattered ? 1 : 2) * once * elements * (bits / 8);
    bytes += 2 * once * common * floatBytes;
    // Exponents, or which rows are touched.
    bytes += 2 * once * (exact ? blocks : sum(tables, ({ rows }) => rows));
    // Where owners make sums of floats they tell squares instead; and all tell by a byte how many microbatches they have.
    if (exact && !isScattered && bits === 32) bytes += once * squares + workers - 1;
  }
  if (!isScattered) return Math.round(bytes);
  const pieces = sum(parts, ({ rows, rowSize }) =>
    rows === 1
      ? Math.max(1, Math.ceil(rowSize / pieceElements))
      : Math.ceil(rows / Math.max(1, Math.floor(pieceElements / rowSize))),
  );
  const elements = table.trainableSize + common;
  const buckets = Math.min(parts.length, networkBuckets(form.buckets, elements * floatBytes));
  // A table lies between whole parts, which it parts.
  const regions = buckets + 2 * tables.length;
  const proof = 4 * (workers + 1) * regions;
  return Math.round(bytes + once * pieces * toldBytes + (workers - 1) * proof);
}
