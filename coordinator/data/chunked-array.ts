/** Numbers that grow in number, packed: pieces of fixed size, never copied, so that growth needs no second copy. */

const pieceShift = 16;
const pieceSize = 2 ** pieceShift;
const pieceMask = pieceSize - 1;

/** A growing list of numbers of one machine type. */
export interface ChunkedArray {
  readonly length: number;
  push(value: number): void;
  /** 0 beyond the end. */
  at(index: number): number;
}

/** Made of pieces as `makePiece` allocates them; values are rounded to what these hold. */
export function createChunkedArray(
  makePiece: (size: number) => Uint8Array | Uint32Array | Float64Array,
): ChunkedArray {
  const pieces: (Uint8Array | Uint32Array | Float64Array)[] = [];
  let length = 0;
  return {
    get length() {
      return length;
    },
    push(value) {
      const place = length & pieceMask;
      if (place === 0) pieces.push(makePiece(pieceSize));
      const piece = pieces[pieces.length - 1];
      if (piece !== undefined) piece[place] = value;
      length += 1;
    },
    at: (index) => pieces[Math.floor(index / pieceSize)]?.[index & pieceMask] ?? 0,
  };
}
