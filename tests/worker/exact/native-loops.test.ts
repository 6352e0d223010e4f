/** Goal: loops for this processor never leave their memory, and every instruction set gives the same bits. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { exactAddonFile } from "../../../foundation/native/addon-files.ts";
import { firstFree } from "../../../worker/exact/kernels.ts";
import { loadNativeLoops } from "../../../worker/exact/native-loops.ts";
import { installedBinding } from "../../support/installed-binding.ts";

const run = promisify(execFile);
const memory = new WebAssembly.Memory({ initial: 4, maximum: 4, shared: true });
const native = loadNativeLoops(exactAddonFile(await installedBinding()))?.(memory) ?? null;
const skip = native === null ? "this processor has none" : false;

describe("loops for this processor", { skip }, () => {
  it("refuse what lies beyond their memory", () => {
    assert.ok(native !== null);
    const beyond = memory.buffer.byteLength;
    const blocks = firstFree;
    const vector = firstFree + 64;
    for (const at of [beyond - 4, beyond, beyond + 64, 2 ** 32 - 4]) {
      assert.throws(() => native.addIntegers(vector, at, 2), /addIntegers beyond its memory/u);
      assert.throws(() => native.raiseExponents(vector, vector, blocks, 1, at), /raiseExponents/u);
      const last = Math.min(at + 4, 2 ** 32 - 1);
      assert.throws(() => native.raiseExponents(last, vector, blocks, 1, vector), /raise/u);
      assert.throws(() => native.stripes(at, 1), /stripes beyond its memory/u);
      assert.throws(() => native.finish(31n, at), /finish beyond its memory/u);
    }
    assert.throws(() => native.addIntegers(vector + 2, vector, 1), /addIntegers/u, "not aligned");
    assert.throws(() => native.quantise(1, 2), /quantise beyond its memory/u, "too few");
    const none = Array.from({ length: 12 }, () => 0);
    assert.throws(() => native.sumAlone(...none), /sumAlone beyond its memory/u, "no sources");
  });

  it("refuse a block that is longer than what is left of their memory", () => {
    assert.ok(native !== null);
    const words = new Uint32Array(memory.buffer, firstFree, 4);
    const [sources, blocks, bounds] = [0, 4, 8].map((offset) => firstFree + offset);
    const vector = firstFree + 64;
    words.set([vector, 0, 0, (memory.buffer.byteLength - vector) / 4 + 1]);
    const known = [bounds ?? 0, vector, vector + 64, 29, 0, 0];
    const alone = [vector, sources ?? 0, 0, 1, blocks ?? 0, 1, ...known];
    assert.throws(() => native.sumAlone(...alone), /sumAlone beyond its memory/u);
    words[3] = 16;
    native.sumAlone(...alone);
    // Exponents that lie beyond, and others that end within the block, or do not begin with one.
    for (const [exponents, others] of [
      [memory.buffer.byteLength, vector],
      [vector, memory.buffer.byteLength - 32],
      [vector, vector + 2],
    ]) {
      const carried = [...alone.slice(0, -2), exponents ?? 0, others ?? 0];
      assert.throws(() => native.sumAlone(...carried), /sumAlone beyond its memory/u);
    }
  });

  it("copy between any memories, but not beyond what there is room for", () => {
    assert.ok(native !== null);
    const source = Uint8Array.from({ length: 1001 }, (_, i) => i * 7);
    const target = new Uint8Array(memory.buffer, firstFree + 1, 1200).fill(1);
    native.copy(target, source);
    assert.deepEqual(target.slice(0, 1001), source);
    assert.ok(target.subarray(1001).every((value) => value === 1));
    native.copy(target, new Uint8Array(0));
    assert.throws(() => native.copy(target.subarray(0, 1000), source), /Cannot copy/u);
    const plain = new Uint8Array(1200);
    native.copy(plain, target);
    assert.deepEqual(plain, Uint8Array.from(target));
  });

  it("convert integers of any widths and memories, but not beyond what there is room for", () => {
    assert.ok(native !== null);
    const source = Int32Array.from({ length: 1003 }, (_, i) => (i % 255) - 127);
    const wide = new Int32Array(memory.buffer, firstFree, 1010).fill(9);
    for (const narrow of [
      new Int16Array(memory.buffer, firstFree + 8192 + 2, 1003),
      new Int8Array(memory.buffer, firstFree + 8192 + 1, 1003),
      new Int16Array(1003),
      new Int8Array(1003),
    ]) {
      native.convert(narrow, source);
      assert.deepEqual([...narrow], [...source]);
      native.convert(wide, narrow);
      assert.deepEqual(wide.slice(0, 1003), source);
      assert.ok(wide.subarray(1003).every((value) => value === 9));
      assert.throws(() => native.convert(narrow.subarray(1), source), /Cannot convert/u);
    }
    const octets: unknown = new Uint8Array(1003);
    assert.throws(() => native.convert(octets as Int8Array, source), /Cannot convert/u);
  });

  it("are called on what they were made by, and are none where the addon is not there", () => {
    assert.ok(native !== null);
    const copied = { ...native };
    assert.throws(() => copied.start(), /start/u);
    assert.equal(loadNativeLoops("/nowhere/exact.node"), null);
  });

  it("give the same bits on every instruction set", async () => {
    const folder = await mkdtemp(join(tmpdir(), "ringmaster-loops-"));
    try {
      const program = join(folder, "hot-loops");
      const source = fileURLToPath(new URL("hot-loops.cc", import.meta.url));
      const headers = fileURLToPath(new URL("../../../worker/exact/native/", import.meta.url));
      const flags = ["-O3", "-std=c++17", "-ffp-contract=off", "-w", `-I${headers}`];
      await run("c++", [...flags, source, "-o", program]);
      const { stdout } = await run(program);
      const numbers = stdout
        .split("\n")
        .filter((line) => line !== "")
        .map((line) => line.split(" ")[1]);
      assert.ok(numbers.length > 0, stdout);
      assert.equal(new Set(numbers).size, 1, stdout);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});
