/** XXH64 against its specification in plain BigInt arithmetic, against known values, and how it is cut into pieces. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { Arena, arenaBytes } from "../../../worker/exact/arena.ts";
import { loadNativeLoops } from "../../../worker/exact/native-loops.ts";
import { TensorHasher } from "../../../worker/hashing/tensor-hasher.ts";
import { installedBinding } from "../../support/installed-binding.ts";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const mask = (1n << 64n) - 1n;
const primes = [
  0x9e3779b185ebca87n,
  0xc2b2ae3d27d4eb4fn,
  0x165667b19e3779f9n,
  0x85ebca77c2b2ae63n,
  0x27d4eb2f165667c5n,
] as const;
const rotate = (value: bigint, bits: bigint): bigint =>
  ((value << bits) | (value >> (64n - bits))) & mask;
const round = (lane: bigint, input: bigint): bigint =>
  (rotate((lane + input * primes[1]) & mask, 31n) * primes[0]) & mask;

/** XXH64 with seed 0, step by step as the specification has it. */
function specified(bytes: Uint8Array): bigint {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let at = 0;
  let hash: bigint = primes[4];
  if (bytes.length >= 32) {
    const lanes: bigint[] = [
      (primes[0] + primes[1]) & mask,
      primes[1],
      0n,
      (mask + 1n - primes[0]) & mask,
    ];
    for (; at + 32 <= bytes.length; at += 32) {
      for (let lane = 0; lane < 4; lane++) {
        lanes[lane] = round(lanes[lane]!, view.getBigUint64(at + 8 * lane, true));
      }
    }
    hash =
      [1n, 7n, 12n, 18n].reduce((sum, bits, lane) => sum + rotate(lanes[lane]!, bits), 0n) & mask;
    for (const lane of lanes) hash = ((hash ^ round(0n, lane)) * primes[0] + primes[3]) & mask;
  }
  hash = (hash + BigInt(bytes.length)) & mask;
  for (; at + 8 <= bytes.length; at += 8) {
    const mixed = rotate(hash ^ round(0n, view.getBigUint64(at, true)), 27n);
    hash = (mixed * primes[0] + primes[3]) & mask;
  }
  if (at + 4 <= bytes.length) {
    const mixed = rotate(hash ^ ((BigInt(view.getUint32(at, true)) * primes[0]) & mask), 23n);
    hash = (mixed * primes[1] + primes[2]) & mask;
    at += 4;
  }
  for (; at < bytes.length; at++) {
    hash = (rotate(hash ^ ((BigInt(bytes[at]!) * primes[4]) & mask), 11n) * primes[0]) & mask;
  }
  hash = ((hash ^ (hash >> 33n)) * primes[1]) & mask;
  hash = ((hash ^ (hash >> 29n)) * primes[2]) & mask;
  return hash ^ (hash >> 32n);
}

const signal = new AbortController().signal;

describe("hashes of tensors", () => {
  it("the specification above gives the values that others publish", () => {
    const of = (text: string): string => specified(new TextEncoder().encode(text)).toString(16);
    assert.equal(of(""), "ef46db3751d8e999");
    assert.equal(of("a"), "d24ec4f1a98c6e5b");
    assert.equal(of("abc"), "44bc2cf5ad770999");
    assert.equal(of("Nobody inspects the spammish repetition"), "fbcea83c8a378bf1");
  });

  it("are the specification's for every length and across pieces and turns", async () => {
    const sizes = [0, 1, 2, 3, 7, 8, 9, 15, 16, 17, 1023, 32_768, 32_769, 65_536, 100_003, 300_000];
    const length = sizes.reduce((sum, size) => sum + size, 0);
    const anyMemory = new Float32Array(new SharedArrayBuffer((length + 5) * 4), 4, length + 3);
    const inArena = new Arena(arenaBytes(length * 4)).floats(length);
    const loops = loadNativeLoops(exactAddonFile(await installedBinding()));
    const nativelyHashed = new Arena(arenaBytes(length * 4), { loops }).floats(length);
    const hasher = new TensorHasher();
    for (const memory of [anyMemory, inArena, nativelyHashed]) {
      for (let i = 0; i < memory.length; i++) memory[i] = Math.sin(i * i) * 2 ** (i % 40);
      const hashes = await hasher.hashTensors(memory, sizes, signal);
      let start = 0;
      for (const [index, size] of sizes.entries()) {
        const values = memory.slice(start, start + size);
        start += size;
        assert.equal(hashes[index], specified(new Uint8Array(values.buffer)), `tensor of ${size}`);
      }
    }
  });

  it("are each hasher's own, also where several are in the middle of one arena", async () => {
    const loops = loadNativeLoops(exactAddonFile(await installedBinding()));
    const length = 600_000;
    for (const means of [{}, { loops }]) {
      const memory = new Arena(arenaBytes(length * 4), means).floats(length);
      for (let i = 0; i < length; i++) memory[i] = Math.sin(i);
      const parts = [memory.subarray(0, length), memory.subarray(1, length)];
      const hashes = await Promise.all(
        parts.map((part) => new TensorHasher().hashTensors(part, [part.length], signal)),
      );
      const alone = parts.map((part) => specified(new Uint8Array(part.slice().buffer)));
      assert.deepEqual(hashes.flat(), alone);
    }
  });

  it("do not depend on how a tensor comes in pieces", async () => {
    const bytes = Uint8Array.from({ length: 400_007 }, (_, i) => (i * 7919) >> 5);
    const cuts = [0, 1, 5, 5, 131_071, 131_073, 131_074, 300_000, bytes.length];
    const pieces = cuts.slice(1).map((end, index) => bytes.subarray(cuts[index], end));
    const hashes = await new TensorHasher().hashPieces([pieces, [], [bytes]], signal);
    assert.deepEqual(hashes, [specified(bytes), specified(new Uint8Array(0)), specified(bytes)]);
  });

  it("change with any single bit, the sign of a zero included", async () => {
    const hasher = new TensorHasher();
    const values = new Float32Array(1000);
    const [before] = await hasher.hashTensors(values, [1000], signal);
    values[617] = -0;
    const [after] = await hasher.hashTensors(values, [1000], signal);
    assert.notEqual(before, after);
  });

  it("stop when they are told to", async () => {
    const hashing = new TensorHasher().hashTensors(
      new Float32Array(1_000_000),
      [1_000_000],
      AbortSignal.abort(new Error("enough")),
    );
    await assert.rejects(hashing, /enough/u);
  });

  it("xxh64.wasm is what its source builds", () => {
    const folder = mkdtempSync(join(tmpdir(), "ringmaster-hashes-"));
    try {
      const { scripts } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
        scripts: Record<string, string>;
      };
      const [, ...args] = scripts["build:hashes"]!.split(" ");
      const built = join(folder, "xxh64.wasm");
      args[args.indexOf("-o") + 1] = built;
      execFileSync(join(root, "node_modules/.bin/asc"), args, { cwd: root });
      assert.ok(readFileSync(built).equals(readFileSync(join(root, "worker/hashing/xxh64.wasm"))));
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});
