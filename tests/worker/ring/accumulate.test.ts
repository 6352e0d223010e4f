import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { Arena, arenaBytes } from "../../../worker/exact/arena.ts";
import {
  combineInto,
  maxBytes,
  sumIntegers,
  type Combination,
  type OperandSource,
} from "../../../worker/ring/accumulate.ts";

const bytesOf = (integers: Int32Array): Uint8Array =>
  new Uint8Array(integers.buffer, integers.byteOffset, integers.byteLength);

function sourceOf(vector: Int32Array): OperandSource {
  const bytes = bytesOf(vector);
  return (piece, offset) => piece.set(bytes.subarray(offset, offset + piece.byteLength));
}

/** Combines into a copy of `own` that lies at `target`, and checks what is told of the pieces. */
function combineAt<V extends Int32Array | Uint8Array>(
  target: Uint8Array,
  vectors: readonly Int32Array[],
  combination: Combination<V>,
): Buffer {
  const [own = new Int32Array(0), ...others] = vectors;
  target.set(bytesOf(own));
  const told: Buffer[] = [];
  combineInto(target, combination, others.map(sourceOf), (piece, offset) => {
    assert.equal(offset, Buffer.concat(told).byteLength);
    told.push(Buffer.from(piece));
  });
  const result = Buffer.from(target);
  assert.ok(Buffer.concat(told).equals(result));
  return result;
}

describe("combining", () => {
  it("gives the same in an arena's memory, where it lies, as anywhere else", () => {
    const lengths = fc.constantFrom(1, 3, 32_768, 32_769, 100_003);
    fc.assert(
      fc.property(lengths, fc.integer(), fc.integer({ min: 2, max: 4 }), (length, seed, count) => {
        const vectors = Array.from({ length: count }, (_, v) =>
          Int32Array.from({ length }, (_value, i) => Math.imul(i + seed, 2_654_435_761 + v)),
        );
        const placed = new Arena(arenaBytes(length * 4)).bytes(length * 4);
        const elsewhere = new Uint8Array(length * 4);
        const sum = combineAt(elsewhere, vectors, sumIntegers);
        assert.ok(combineAt(placed, vectors, sumIntegers).equals(sum));
        const most = combineAt(elsewhere, vectors, maxBytes);
        assert.ok(combineAt(placed, vectors, maxBytes).equals(most));
        const expected = Int32Array.from({ length }, (_, i) =>
          vectors.reduce((total, vector) => (total + vector[i]!) | 0, 0),
        );
        assert.ok(sum.equals(bytesOf(expected)));
        const bytes = vectors.map(bytesOf);
        assert.ok(most.every((byte, i) => byte === Math.max(...bytes.map((one) => one[i]!))));
      }),
      { numRuns: 20 },
    );
  });
});
