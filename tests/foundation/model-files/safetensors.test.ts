/** Goal: what is written is read back, in every float format; what is wrong is refused by file and tensor. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import {
  openSafetensors,
  readSafetensors,
  writeSafetensors,
} from "../../../foundation/model-files/safetensors.ts";
import { rawFile, rawFloats, rawTensors, readRaw, type RawTensor } from "./raw-safetensors.ts";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "safetensors-"));
});
after(() => rmSync(folder, { recursive: true }));

async function readBytes(bytes: Uint8Array) {
  const file = join(folder, "read.safetensors");
  writeFileSync(file, bytes);
  return readSafetensors(file);
}

describe("writeSafetensors()", () => {
  it("writes what readSafetensors() reads, scalars and empty tensors included", async () => {
    const file = join(folder, "written.safetensors");
    const tensors = [
      { name: "matrix", shape: [2, 3], values: Float32Array.of(1, -2, 3.5, 1e-40, Infinity, -0) },
      { name: "scalar", shape: [], values: Float32Array.of(7) },
      { name: "empty", shape: [0, 4], values: new Float32Array(0) },
      { name: "12", shape: [1], values: Float32Array.of(12) },
    ];
    await writeSafetensors(file, tensors);
    const read = await readSafetensors(file);
    assert.equal(read.size, tensors.length);
    for (const { name, shape, values } of tensors) {
      assert.deepEqual(read.get(name)!.shape, shape);
      assert.deepEqual(read.get(name)!.values, values);
    }
    const bytes = readFileSync(file);
    assert.equal(bytes.readBigUInt64LE(0) % 8n, 0n, "the data is aligned");
  });

  it("replaces no file, and writes no tensor of another size", async () => {
    const file = join(folder, "written.safetensors");
    await assert.rejects(writeSafetensors(file, []), /EEXIST/);
    const wrong = [{ name: "a", shape: [2], values: new Float32Array(3) }];
    await assert.rejects(writeSafetensors(join(folder, "none"), wrong), RangeError);
  });
});

describe("readSafetensors()", () => {
  it("widens half precision and bfloat16 exactly", async () => {
    const bits = (values: number[]) => new Uint8Array(Uint16Array.from(values).buffer);
    const read = await readBytes(
      rawTensors({
        half: {
          dtype: "F16",
          shape: [8],
          bytes: bits([0x3c00, 0xc000, 0x0001, 0x83ff, 0x7bff, 0x7c00, 0xfc00, 0x7e00]),
        },
        brain: { dtype: "BF16", shape: [4], bytes: bits([0x3f80, 0xc040, 0x0001, 0x7f80]) },
      }),
    );
    assert.deepEqual(
      [...read.get("half")!.values],
      [1, -2, 2 ** -24, -1023 * 2 ** -24, 65504, Infinity, -Infinity, NaN],
    );
    assert.deepEqual([...read.get("brain")!.values], [1, -3, 2 ** -133, Infinity]);
  });

  it("reads data that does not begin at a multiple of four", async () => {
    const header = '{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}} ';
    const read = await readBytes(rawFile(header, rawFloats([2], [1, 2]).bytes));
    assert.deepEqual([...read.get("a")!.values], [1, 2]);
  });

  const entry = (offsets: number[], shape = [2], dtype = "F32") => ({
    dtype,
    shape,
    data_offsets: offsets,
  });
  const eight = new Uint8Array(8);
  const wrong: Record<string, [Uint8Array, RegExp]> = {
    "an empty file": [new Uint8Array(0), /expected a safetensors file, found 0 bytes/],
    "a header longer than the file": [
      rawFile("{}", eight).slice(0, 9),
      /expected a header of at most 1 bytes, found 2 bytes .*cut off/,
    ],
    "an absurd header": [
      Buffer.concat([Buffer.from("ffffffffffffffff", "hex"), eight]),
      /a header of at most 8 bytes, found 18446744073709551615 bytes/,
    ],
    "no JSON": [rawFile("{", eight), /expected JSON/],
    "an array": [rawFile("[]", eight), /expected a JSON object, found an array/],
    "broken UTF-8": [rawFileOfBytes([0x7b, 0xff, 0x7d]), /expected text in UTF-8/],
    "a __proto__ key": [
      rawFile('{"__proto__":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', eight),
      /expected keys other than __proto__/,
    ],
    "no offsets": [
      rawFile({ a: { dtype: "F32", shape: [2] } }, eight),
      /expected dtype, shape and offsets of tensor a/,
    ],
    "a negative size": [
      rawFile({ a: entry([0, 8], [-2]) }, eight),
      /shape and offsets of tensor a/,
    ],
    "an unknown dtype": [
      rawFile({ a: entry([0, 8], [2], "Q4") }, eight),
      /expected a known dtype of tensor a, found Q4/,
    ],
    "a size that is not the shape's": [
      rawFile({ a: entry([0, 8], [3]) }, eight),
      /expected 12 bytes of tensor a \(F32 \[3\]\), found 8 bytes/,
    ],
    "a size beyond all numbers": [
      rawFile({ a: entry([0, 8], [2 ** 31, 2 ** 31, 2 ** 31]) }, eight),
      /tensor a .*found 8 bytes/,
    ],
    "tensors that overlap": [
      rawFile({ a: entry([0, 8]), b: entry([4, 12]) }, new Uint8Array(12)),
      /expected tensor b to begin at byte 8 of the data, found 4, which overlaps/,
    ],
    "a gap": [
      rawFile({ a: entry([4, 12]) }, new Uint8Array(12)),
      /expected tensor a to begin at byte 0 of the data, found 4$/,
    ],
    "data cut off": [
      rawFile({ a: entry([0, 8]) }, eight.slice(1)),
      /expected 8 bytes of tensors \(the last is a\), found 7 bytes .*cut off/,
    ],
    "data that no tensor has": [
      rawFile({ a: entry([0, 8]) }, new Uint8Array(9)),
      /expected 8 bytes of tensors .*found 9 bytes$/,
    ],
    "weights that are integers": [
      rawTensors({ a: { dtype: "I64", shape: [1], bytes: eight } }),
      /expected F32, F16 or BF16 in tensor a, found I64/,
    ],
  };
  for (const [what, [bytes, message]] of Object.entries(wrong)) {
    it(`refuses ${what}`, async () => {
      await assert.rejects(readBytes(bytes), (error: Error) => {
        assert.equal(error.name, "BadInput");
        assert.match(error.message, /read\.safetensors: /);
        assert.match(error.message, message);
        return true;
      });
    });
  }

  function rawFileOfBytes(json: number[]): Uint8Array {
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, Uint8Array.from(json)]);
  }
});

describe("openSafetensors()", () => {
  it("reads into a part of a larger vector, shared memory included", async () => {
    const file = join(folder, "part.safetensors");
    const tensors: Record<string, RawTensor> = { a: rawFloats([2], [1, 2]) };
    writeFileSync(file, rawTensors(tensors));
    assert.deepEqual(Object.keys(readRaw(file)), ["a"]);
    const vector = new Float32Array(new SharedArrayBuffer(16));
    const reader = await openSafetensors(file);
    await reader.read("a", vector.subarray(1, 3));
    assert.deepEqual([...vector], [0, 1, 2, 0]);
    await assert.rejects(reader.read("a", vector), RangeError);
    await assert.rejects(reader.read("b", vector), RangeError);
    await reader.close();
  });
});
