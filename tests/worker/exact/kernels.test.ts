/**
 * The loops of WebAssembly, and those for this processor, against the plain TypeScript ones, bit by bit, and the promises of
 * worker/exact/README.md.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import fc from "fast-check";
import { layOutBlocks, magnitudeBits } from "../../../worker/exact/block-layout.ts";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { firstFree, loadKernels, type ExactKernels } from "../../../worker/exact/kernels.ts";
import { loadNativeLoops } from "../../../worker/exact/native-loops.ts";
import { referenceKernels } from "../../../worker/exact/reference.ts";
import { installedBinding } from "../../support/installed-binding.ts";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const memory = new WebAssembly.Memory({ initial: 64, maximum: 65_536, shared: true });
const kernels = loadKernels(memory);
const addonFile = exactAddonFile(await installedBinding());
const native = loadNativeLoops(addonFile)?.(memory) ?? null;
const nativeKernels = native === null ? null : loadKernels(memory, native);
let top = firstFree;

/** Places arrays in the kernels' memory, from the front again for each case. */
function place<
  T extends
    | Float32Array
    | Float64Array
    | Int32Array
    | Int16Array
    | Int8Array
    | Uint32Array
    | Uint8Array,
>(array: T): T {
  const make = array.constructor as new (
    buffer: SharedArrayBuffer,
    offset: number,
    length: number,
  ) => T;
  const placed = new make(memory.buffer, top, array.length);
  placed.set(array);
  top += Math.ceil(array.byteLength / 16) * 16;
  return placed;
}

/**
 * Sums vectors exactly, as the workers do: each worker's integers by themselves, all at once, in the first one's memory,
 * and without a ring; all four must give the same.
 */
function exactSum(
  { using, put }: { readonly using: ExactKernels; readonly put: typeof place },
  vectors: readonly Float32Array[],
  parts: readonly number[],
  wireBits: 32 | 16 | 8 = 32,
): { readonly sum: Float32Array; readonly squares: readonly number[] } {
  top = firstFree;
  const bounds = put(layOutBlocks(parts).bounds);
  const blocks = put(Uint32Array.from({ length: bounds.length - 1 }, (_, block) => block));
  const grid = {
    bounds,
    exponents: put(new Uint8Array(blocks.length)),
    places: put(bounds.slice(0, -1)),
    filled: put(new Uint8Array(blocks.length)),
    squares: put(new Float64Array(blocks.length)),
  };
  const length = vectors[0]!.length;
  const bits = magnitudeBits(vectors.length, wireBits);
  const keys = wireBits === 32 ? null : vectors.map((_, index) => (index * 0x9e3779b9 + 5) >>> 0);
  const sources = vectors.map((vector) => put(vector));
  using.raiseExponents({ sources, keys, blocks }, grid);
  const sums = sources.map(() => put(new Int32Array(length)));
  for (const [i, source] of sources.entries()) {
    const run = { sources: [source], keys: keys === null ? null : [keys[i]!], blocks };
    using.quantise(sums[i]!, run, { grid, bits, add: i % 2 === 1 });
  }
  const given = sums.reduce((total, one) => (total + using.checksum(one)) | 0, 0);
  for (const other of sums.slice(1)) using.addIntegers(sums[0]!, other);
  assert.equal(using.checksum(sums[0]!), given);
  const result = put(new Float32Array(length).fill(3));
  grid.filled.fill(2);
  using.scaleBack(result, sums[0]!, { grid, bits });

  const alone = put(new Float32Array(length).fill(3));
  grid.filled.fill(2);
  using.sumAlone(alone, { sources, keys, blocks }, { grid, bits });
  assert.deepEqual(bitsOf(alone), bitsOf(result));
  const squaresNow = () => [...blocks].map((b) => (grid.filled[b] === 1 ? grid.squares[b]! : 0));
  const squares = squaresNow();
  const apart = put(new Float64Array(blocks.length));
  using.sumSquares(apart, result, bounds);
  assert.deepEqual([...apart], squares);
  // Once more: the blocks that are not zero hold values of this step now.
  using.sumAlone(alone, { sources, keys, blocks }, { grid, bits });
  using.scaleBack(result, sums[0]!, { grid, bits });
  assert.deepEqual(bitsOf(alone), bitsOf(result));
  grid.filled.fill(2);
  using.scaleBack(result, sums[0]!, { grid, bits });

  // Each worker adds his integers to those that arrive, and the last one scales them back.
  const carried = put(new Float32Array(length).fill(3));
  grid.filled.fill(2);
  let others: Int32Array | null = null;
  for (const [i, source] of sources.entries()) {
    const run = { sources: [source], keys: keys === null ? null : [keys[i]!], blocks };
    const next: Int32Array = put(new Int32Array(length));
    if (i === sources.length - 1) using.sumAlone(carried, run, { grid, bits, others });
    else using.quantise(next, run, { grid, bits, add: false, others });
    others = next;
  }
  assert.deepEqual(bitsOf(carried), bitsOf(result));
  assert.deepEqual(squaresNow(), squares);

  const inPlace = new Int32Array(sources[0]!.buffer, sources[0]!.byteOffset, length);
  using.quantise(inPlace, { sources, keys, blocks }, { grid, bits, add: false });
  for (const block of blocks) {
    if (grid.exponents[block] === 0) inPlace.fill(0, bounds[block], bounds[block + 1]);
  }
  assert.deepEqual(inPlace.slice(), sums[0]!.slice());
  return { sum: Float32Array.from(result), squares };
}

const same = <T>(array: T): T => array;

function bitsOf(vector: Float32Array): number[] {
  return [...new Uint32Array(vector.slice().buffer)];
}

const anyFloat = fc.oneof(
  fc.float({ noNaN: true, noDefaultInfinity: true }),
  fc.float({ min: -1, max: 1, noNaN: true }),
  fc.constantFrom(0, -0, 1e-45, -1e-40, Math.fround(3.4e38), Math.fround(-1e30)),
);

for (const [name, kernelsHere] of [
  ["WebAssembly", kernels],
  ["this processor", nativeKernels],
] as const) {
  const skip = kernelsHere === null ? "this processor has no loops of its own" : false;
  describe(`exact kernels of ${name}`, { skip }, () => {
    const fast = { using: kernelsHere ?? kernels, put: place };

    it("compute what the reference computes, bit by bit", () => {
      fc.assert(
        fc.property(
          fc.integer({ min: 1, max: 6 }).chain((count) =>
            fc.tuple(
              fc.array(fc.array(anyFloat, { minLength: 70, maxLength: 70 }), {
                minLength: count,
                maxLength: count,
              }),
              fc.constantFrom([70], [1, 69], [3, 0, 17, 50], [64, 6]),
              fc.constantFrom(32 as const, 16 as const, 8 as const),
            ),
          ),
          ([rows, parts, wireBits]) => {
            const vectors = rows.map((row) => Float32Array.from(row));
            const fastly = exactSum(fast, vectors, parts, wireBits);
            const plain = exactSum(
              { using: referenceKernels, put: same },
              vectors.map((v) => v.slice()),
              parts,
              wireBits,
            );
            assert.deepEqual(bitsOf(fastly.sum), bitsOf(plain.sum));
            assert.deepEqual(fastly.squares, plain.squares);
          },
        ),
      );
    });

    it("the sum does not depend on the order of the microbatches", () => {
      fc.assert(
        fc.property(
          fc.array(fc.array(anyFloat, { minLength: 40, maxLength: 40 }), {
            minLength: 5,
            maxLength: 5,
          }),
          fc.shuffledSubarray([0, 1, 2, 3, 4], { minLength: 5, maxLength: 5 }),
          (rows, order) => {
            const vectors = rows.map((row) => Float32Array.from(row));
            const shuffled = order.map((i) => vectors[i]!);
            assert.deepEqual(
              bitsOf(exactSum(fast, vectors, [40]).sum),
              bitsOf(exactSum(fast, shuffled, [40]).sum),
            );
          },
        ),
      );
    });

    it("loses no element above 2^-20 of its block's largest", () => {
      for (const largest of [1, 1e-30, 1e-38, 1e30]) {
        const vectors = [
          Float32Array.of(largest, largest * 2 ** -20, 0, 0),
          Float32Array.of(0, 0, -largest * 2 ** -20, 0),
          new Float32Array(4),
          new Float32Array(4),
        ];
        const { sum } = exactSum(fast, vectors, [4]);
        assert.ok(
          sum[0]! > 0 && sum[1]! > 0 && sum[2]! < 0,
          `largest ${largest}: ${sum.join(" ")}`,
        );
      }
    });

    it("is nearer to the true sum than a float32 sum is, for values of like size", () => {
      const vectors = Array.from({ length: 8 }, (_, k) =>
        Float32Array.from({ length: 4096 }, (_v, i) => Math.sin(i * 12.9898 + k * 78.233) * 1e-3),
      );
      const { sum: exact } = exactSum(fast, vectors, [4096]);
      let exactError = 0;
      let floatError = 0;
      for (let i = 0; i < 4096; i++) {
        const truth = vectors.reduce((sum, vector) => sum + vector[i]!, 0);
        const float = vectors.reduce((sum, vector) => Math.fround(sum + vector[i]!), 0);
        exactError += (exact[i]! - truth) ** 2;
        floatError += (float - truth) ** 2;
      }
      assert.ok(exactError < floatError, `${exactError} against ${floatError}`);
    });

    it("gives NaN for a block with a value that is not finite, and only there", () => {
      for (const bad of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
        const { sum } = exactSum(
          fast,
          [Float32Array.of(1, bad, 2, 3), Float32Array.of(1, 1, 2, 3)],
          [2, 2],
        );
        assert.deepEqual([...sum], [Number.NaN, Number.NaN, 4, 6]);
      }
    });

    it("never leaves an int32, even when all microbatches are at the top of their block", () => {
      const top32 = Math.fround(1.9999999);
      for (const count of [1, 2, 3, 4, 7, 8, 64]) {
        const vectors = Array.from({ length: count }, () => Float32Array.of(top32, -top32));
        const { sum } = exactSum(fast, vectors, [2]);
        assert.ok(Math.abs(sum[0]! / (count * top32) - 1) < 1e-6, `${count}: ${sum[0]}`);
      }
    });

    it("never leaves narrow integers either, whichever way values are rounded", () => {
      const top32 = Math.fround(1.9999999);
      for (const wireBits of [16, 8] as const) {
        for (const count of [1, 2, 3, 4, 7, 8]) {
          const vectors = Array.from({ length: count }, () =>
            Float32Array.from({ length: 64 }, (_, i) => (i % 2 === 0 ? top32 : -top32)),
          );
          const { sum } = exactSum(fast, vectors, [64], wireBits);
          const limit = 2 ** (wireBits - 1) - 1;
          const unit = 2 ** (1 - magnitudeBits(count, wireBits));
          for (const value of sum) assert.ok(Math.abs(value / unit) <= limit, `${count}: ${value}`);
          const least = count * (1 - 2 ** (2 - magnitudeBits(count, wireBits))) * top32;
          assert.ok(sum[0]! >= least && sum[1]! <= -least, `${count}: ${sum[0]}, ${sum[1]}`);
        }
      }
    });
  });
}

describe("exact kernels", () => {
  it("add narrow integers", () => {
    top = firstFree;
    const shorts = place(Int16Array.from({ length: 21 }, (_, i) => i * 1500 - 16_000));
    kernels.addShorts(shorts, place(Int16Array.from({ length: 21 }, () => -7)));
    assert.deepEqual(
      shorts,
      Int16Array.from({ length: 21 }, (_, i) => i * 1500 - 16_007),
    );
    const octets = place(Int8Array.from({ length: 35 }, (_, i) => i * 3 - 50));
    kernels.addOctets(octets, place(Int8Array.from({ length: 35 }, () => 11)));
    assert.deepEqual(
      octets,
      Int8Array.from({ length: 35 }, (_, i) => i * 3 - 39),
    );
  });

  it("kernels.wasm is what its source builds", () => {
    const folder = mkdtempSync(join(tmpdir(), "ringmaster-kernels-"));
    try {
      const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
        scripts: Record<string, string>;
      };
      const [, ...args] = scripts["build:kernels"]!.split(" ");
      const built = join(folder, "kernels.wasm");
      args[args.indexOf("-o") + 1] = built;
      execFileSync(join(root, "node_modules/.bin/asc"), args, { cwd: root });
      assert.ok(readFileSync(built).equals(readFileSync(join(root, "worker/exact/kernels.wasm"))));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
