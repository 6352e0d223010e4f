/** Sequences of several lengths as one batch: one behind the other, or padded to one length. */
import type { Batch } from "../../worker/model/model.ts";

/** What each sequence's tokens are: the same in both forms. */
function tokenOf(row: number, place: number, vocabulary: number): number {
  return 1 + ((row * 31 + place * 7) % (vocabulary - 1));
}

function typeOf(length: number, place: number): number {
  return place * 2 < length ? 0 : 1;
}

/** Labels and weights of as many rows as a program has; rows beyond the sequences weigh nothing. */
function byRow(sequences: number, rows: number) {
  return {
    labels: Int32Array.from({ length: rows }, (_, row) => row % 2),
    weights: Float32Array.from({ length: rows }, (_, row) => (row < sequences ? 1 : 0)),
  };
}

interface Form {
  /** Tokens behind the last sequence; default none. */
  readonly filling?: number;
  /** Tokens of each sequence. */
  readonly lengths: readonly number[];
  readonly rows: number;
  readonly vocabulary: number;
}

/** The sequences one behind the other. */
export function packedBatch({ lengths, rows, vocabulary, filling = 0 }: Form): Batch {
  const each = <T>(make: (row: number, place: number, length: number) => T): T[] =>
    [...lengths, filling].flatMap((length, row) =>
      Array.from({ length }, (_, place) => make(row, place, length)),
    );
  const [starts, ends] = [new Int32Array(rows), new Int32Array(rows)];
  let tokens = 0;
  for (const [row, length] of lengths.entries()) {
    starts[row] = tokens;
    tokens += length;
    ends[row] = tokens;
  }
  return {
    shapeKey: "packed",
    arrays: {
      input_ids: Int32Array.from(each((row, place) => tokenOf(row, place, vocabulary))),
      position_ids: Int32Array.from(each((_row, place) => place)),
      token_type_ids: Int32Array.from(each((_row, place, length) => typeOf(length, place))),
      starts,
      ends,
      ...byRow(lengths.length, rows),
    },
    samples: lengths.length,
    tokens,
    paddedTokens: tokens,
    truncated: 0,
  };
}

/** The same sequences padded to one length. */
export function paddedBatch({ lengths, rows, vocabulary }: Form, length: number): Batch {
  const table = (make: (row: number, place: number, own: number) => number): number[] =>
    Array.from({ length: rows * length }, (_, index) => {
      const [row, place] = [Math.floor(index / length), index % length];
      const own = lengths[row] ?? 0;
      return place < own ? make(row, place, own) : 0;
    });
  return {
    shapeKey: String(length),
    arrays: {
      input_ids: Int32Array.from(table((row, place) => tokenOf(row, place, vocabulary))),
      attention_mask: Float32Array.from(table(() => 1)),
      token_type_ids: Int32Array.from(table((_row, place, own) => typeOf(own, place))),
      ...byRow(lengths.length, rows),
    },
    samples: lengths.length,
    tokens: lengths.reduce((sum, own) => sum + own, 0),
    paddedTokens: rows * length,
    truncated: 0,
  };
}
