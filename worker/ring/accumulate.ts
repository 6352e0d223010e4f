/**
 * The hot loops of the ring: how what arrives is combined with what is here. Operands are brought into a little memory of
 * the kernels' own that stays in the cache: WebAssembly reaches no other.
 */
import { firstFree, loadKernels, type ExactKernels } from "../exact/kernels.ts";

/** Bytes that are combined at a time: two operands and what the processor needs besides fit a second-level cache. */
export const operandBytesMax = 128 * 1024;

const pageBytes = 65_536;

/** The memory in which operands meet. Calls never overlap: they do not wait. */
interface Operands {
  readonly kernels: ExactKernels;
  /** The operand that takes the result, and the other one. */
  readonly result: Uint8Array;
  readonly other: Uint8Array;
}

let operands: Operands | null = null;

function operandsReady(): Operands {
  if (operands !== null) return operands;
  const pages = Math.ceil((firstFree + 2 * operandBytesMax) / pageBytes);
  const memory = new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
  operands = {
    kernels: loadKernels(memory),
    result: new Uint8Array(memory.buffer, firstFree, operandBytesMax),
    other: new Uint8Array(memory.buffer, firstFree + operandBytesMax, operandBytesMax),
  };
  return operands;
}

/** A way to combine two vectors, element by element. */
export interface Combination<Vector extends Float32Array | Int32Array | Uint8Array> {
  /** `result[i] = result[i] ∘ other[i]` over the first `length` elements. */
  combine(operands: Operands, length: number): void;
  /** Names the type of the elements; never called. */
  readonly elements: (vector: Vector) => void;
}

function elements(): void {
  // Only its type matters.
}

/** Adds float32: the result depends on the order of the ring. */
export const sumFloats: Combination<Float32Array> = {
  elements,
  combine({ result, other }, length) {
    const sums = new Float32Array(result.buffer, result.byteOffset, length);
    const added = new Float32Array(other.buffer, other.byteOffset, length);
    for (let i = 0; i < length; i++) sums[i] = (sums[i] as number) + (added[i] as number);
  },
};

/** Adds int32, wrapping: the result depends on nothing but the values. */
export const sumIntegers: Combination<Int32Array> = {
  elements,
  combine({ kernels, result, other }, length) {
    kernels.addIntegers(
      new Int32Array(result.buffer, result.byteOffset, length),
      new Int32Array(other.buffer, other.byteOffset, length),
    );
  },
};

/** Keeps the larger byte. */
export const maxBytes: Combination<Uint8Array> = {
  elements,
  combine({ kernels, result, other }, length) {
    kernels.maxBytes(result.subarray(0, length), other.subarray(0, length));
  },
};

/** Writes one operand of `bytes.byteLength` bytes, which are those from `offset` on, into `target`. */
export type OperandSource = (target: Uint8Array, offset: number) => void;

/**
 * Combines bytes in place with those of other vectors, piece by piece.
 * @param width bytes of an element; `bytes` holds whole ones
 * @param others where the other operands come from
 * @param onPiece hears of each piece that is complete
 */
export function combineInto<V extends Float32Array | Int32Array | Uint8Array>(
  bytes: Uint8Array,
  { combination, width }: { readonly combination: Combination<V>; readonly width: number },
  others: readonly OperandSource[],
  onPiece?: (piece: Uint8Array, offset: number) => void,
): void {
  const ready = operandsReady();
  for (let offset = 0; offset < bytes.byteLength; offset += operandBytesMax) {
    const own = bytes.subarray(offset, offset + operandBytesMax);
    const result = ready.result.subarray(0, own.byteLength);
    const other = ready.other.subarray(0, own.byteLength);
    result.set(own);
    for (const source of others) {
      source(other, offset);
      combination.combine(ready, own.byteLength / width);
    }
    own.set(result);
    onPiece?.(result, offset);
  }
}
