/**
 * What a carrier is told of a collective (`../exact/native/carry_plan.h`): which messages a rank begins with, which arrive and what becomes
 * of them, which follow. Pure.
 */
import type { CarriedSum } from "../exact/carried-sums.ts";

/** What becomes of a piece that arrives; their numbers are the addon's. */
export const pieceKinds = { add: 0, own: 1, place: 2, max: 3 } as const;

/** One message. */
export interface OrderedPiece {
  readonly hop: number;
  readonly kind: keyof typeof pieceKinds;
  /** As the message says it, in bytes. */
  readonly offset: number;
  /** Where its bytes are once the rank has done its part. */
  readonly place: Uint8Array;
  /** What is added up: blocks `[first, end)`. */
  readonly first?: number;
  readonly end?: number;
}

/** One collective. */
export interface CarryOrder {
  readonly collective: number;
  /** Hops until owners have all of theirs. */
  readonly half: number;
  readonly sum: CarriedSum | null;
  /** What this rank makes and sends first, what arrives, and what it sends behind the last that it has made of its own. */
  readonly begun: readonly OrderedPiece[];
  readonly expected: readonly OrderedPiece[];
  readonly told: readonly OrderedPiece[];
}

/** Bytes of an order's pieces. */
export function orderedBytes(pieces: readonly OrderedPiece[]): number {
  return pieces.reduce((sum, { place }) => sum + place.byteLength, 0);
}

/** Pieces as the addon reads them. Empty ones are not sent. */
export function piecesAsNumbers(pieces: readonly OrderedPiece[]): Float64Array {
  return Float64Array.from(
    pieces
      .filter(({ place }) => place.byteLength > 0)
      .flatMap(({ hop, kind, offset, place, first = 0, end = 0 }) => [
        hop,
        pieceKinds[kind],
        offset,
        place.byteLength,
        first,
        end,
        place.byteOffset,
      ]),
  );
}

/** A sum as the addon reads it; empty for none. */
export function sumAsNumbers(sum: CarriedSum | null): Float64Array {
  if (sum === null) return new Float64Array(0);
  const { run, grid, bits, vector, integers, own } = sum;
  const { bounds, exponents, places, filled, squares } = grid;
  const first = run.blocks[0] ?? 0;
  const views = [vector, integers, bounds, exponents, places, filled, squares, run.blocks];
  return Float64Array.from([
    bits,
    ...views.map(({ byteOffset }) => byteOffset),
    first,
    first + run.blocks.length,
    own.first,
    own.end,
    ...run.sources.map(({ byteOffset }) => byteOffset),
  ]);
}

/** The memory that all of an order lies in; null where there is no one. */
export function memoryOf({ sum, begun, expected, told }: CarryOrder): ArrayBufferLike | null {
  const views: ArrayBufferView[] = [...begun, ...expected, ...told].map(({ place }) => place);
  if (sum !== null) {
    const { run, grid, vector, integers } = sum;
    const { bounds, exponents, places, filled, squares } = grid;
    views.push(vector, integers, run.blocks, ...run.sources);
    views.push(bounds, exponents, places, filled, squares);
  }
  const [memory] = views.map(({ buffer }) => buffer);
  return memory !== undefined && views.every(({ buffer }) => buffer === memory) ? memory : null;
}
