/**
 * The hot loops of the ring: how what arrives is combined with what is here. Vectors of an arena are combined where they lie;
 * others are brought, piece by piece, into a little memory of the kernels' own, because WebAssembly reaches no other.
 */
import { Arena, kernelsOf, operandBytesMax, type ArenaKernels } from "../exact/arena.ts";
import type { ExactKernels } from "../exact/kernels.ts";

/** Memory for both operands. Calls never overlap: they do not wait. */
interface Bench extends ArenaKernels {
  readonly result: Uint8Array;
}

let ownBench: Bench | null = null;

function bench(): Bench {
  if (ownBench !== null) return ownBench;
  const result = new Arena(operandBytesMax).bytes(operandBytesMax);
  const reached = kernelsOf(result);
  if (reached === null) throw new Error("Cannot combine as the arena has no kernels");
  ownBench = { ...reached, result };
  return ownBench;
}

/** Arrays of what can be combined. */
type Element = Float32Array | Int32Array | Int16Array | Int8Array | Uint8Array;

/** A way to combine two vectors, element by element. */
export interface Combination<Vector extends Element> {
  /** `result[i] = result[i] ∘ other[i]`, both of the kernels' memory and of the same length. */
  combine(kernels: ExactKernels, result: Uint8Array, other: Uint8Array): void;
  /** Names the type of the elements; never called. */
  readonly elements: (vector: Vector) => void;
}

function elements(): void {
  // Only its type matters.
}

function floatsOf({ buffer, byteOffset, byteLength }: Uint8Array): Float32Array {
  return new Float32Array(buffer, byteOffset, byteLength / Float32Array.BYTES_PER_ELEMENT);
}

function integersOf({ buffer, byteOffset, byteLength }: Uint8Array): Int32Array {
  return new Int32Array(buffer, byteOffset, byteLength / Int32Array.BYTES_PER_ELEMENT);
}

/** Adds float32: the result depends on the order of the ring. */
export const sumFloats: Combination<Float32Array> = {
  elements,
  combine(kernels, result, other) {
    kernels.addFloats(floatsOf(result), floatsOf(other));
  },
};

/** Adds int32, wrapping: the result depends on nothing but the values. */
export const sumIntegers: Combination<Int32Array> = {
  elements,
  combine(kernels, result, other) {
    kernels.addIntegers(integersOf(result), integersOf(other));
  },
};

/** The same of 16 bits. */
export const sumShorts: Combination<Int16Array> = {
  elements,
  combine(kernels, result, other) {
    kernels.addShorts(
      new Int16Array(result.buffer, result.byteOffset, result.byteLength / 2),
      new Int16Array(other.buffer, other.byteOffset, other.byteLength / 2),
    );
  },
};

/** The same of 8 bits. */
export const sumOctets: Combination<Int8Array> = {
  elements,
  combine(kernels, result, other) {
    kernels.addOctets(
      new Int8Array(result.buffer, result.byteOffset, result.byteLength),
      new Int8Array(other.buffer, other.byteOffset, other.byteLength),
    );
  },
};

/** Keeps the larger byte. */
export const maxBytes: Combination<Uint8Array> = {
  elements,
  combine(kernels, result, other) {
    kernels.maxBytes(result, other);
  },
};

/** Writes one operand of `bytes.byteLength` bytes, which are those from `offset` on, into `target`. */
export type OperandSource = (target: Uint8Array, offset: number) => void;

/**
 * Combines bytes in place with those of other vectors, piece by piece. `bytes` holds whole elements.
 * @param others where the other operands come from
 * @param onPiece hears of each piece that is complete
 */
export function combineInto<V extends Element>(
  bytes: Uint8Array,
  combination: Combination<V>,
  others: readonly OperandSource[],
  onPiece?: (piece: Uint8Array, offset: number) => void,
): void {
  const inPlace = kernelsOf(bytes);
  const { kernels, operand } = inPlace ?? bench();
  for (let offset = 0; offset < bytes.byteLength; offset += operandBytesMax) {
    const own = bytes.subarray(offset, offset + operandBytesMax);
    const other = operand.subarray(0, own.byteLength);
    const result = inPlace === null ? bench().result.subarray(0, own.byteLength) : own;
    if (inPlace === null) result.set(own);
    for (const source of others) {
      source(other, offset);
      combination.combine(kernels, result, other);
    }
    if (inPlace === null) own.set(result);
    onPiece?.(own, offset);
  }
}
