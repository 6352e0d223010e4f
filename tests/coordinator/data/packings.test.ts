/**
 * Goal: whatever a file is packed in, the same records come out, in any order; what is cut off is refused. Method: one
 * table as Parquet in several codecs and row groups, and as text in every packing: alone, in a folder, by a glob.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import { DataFolder, never } from "./support/data-folder.ts";
import { packedTexts, parquetCodecs, parquetFile, rows } from "./support/packings.ts";

const expected = rows.map((row, index) => ({ index, ...row }));
/** All over the table, some twice. */
const somePlaces = [299, 0, 70, 69, 140, 139, 7, 7, 298];

describe("packed files", () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  async function checkRecords(name: string, content: Buffer): Promise<void> {
    const { data, records } = await folder.train(name, content);
    assert.deepEqual(records, expected);
    assert.deepEqual(
      await data.train!.read(somePlaces, never),
      somePlaces.map((place) => expected[place]),
    );
    assert.deepEqual(data.labels, ["0", "1"]);
    assert.equal(data.notes.join().includes("unpacked on the disk"), name !== "a.tsv");
  }

  async function checkCuts(name: string, whole: Buffer, lengths: readonly number[]): Promise<void> {
    for (const length of lengths) {
      await assert.rejects(
        folder.train(name, whole.subarray(0, length)),
        (error) =>
          error instanceof BadInput && /a whole (gzip|zstd|Parquet) file/.test(error.message),
        `${length} of ${whole.length} bytes`,
      );
    }
  }

  for (const [name, content] of Object.entries(packedTexts)) {
    it(`are read from ${name}`, () => checkRecords(name, content));
  }

  for (const codec of parquetCodecs) {
    it(`are read from Parquet, ${codec}, five row groups`, () =>
      checkRecords(`${codec}.parquet`, parquetFile(codec)));

    it(`are refused when Parquet, ${codec}, is cut off`, () => {
      const whole = parquetFile(codec);
      const { length } = whole;
      return checkCuts("cut.parquet", whole, [0, 3, 11, 100, length >> 1, length - 9, length - 1]);
    });
  }

  for (const name of Object.keys(packedTexts).filter((file) => /\.(gz|zst)$/.test(file))) {
    it(`are refused when ${name} is cut off`, () => {
      const whole = packedTexts[name] ?? Buffer.alloc(0);
      return checkCuts(`cut-${name}`, whole, [5, whole.length >> 1, whole.length - 5]);
    });
  }

  it("name their classes as Hugging Face's datasets wrote them into the Parquet", async () => {
    const names = ["not_equivalent", "equivalent"];
    const { data, records } = await folder.train("hf.parquet", parquetFile("SNAPPY", names));
    assert.deepEqual(data.labels, names);
    assert.deepEqual(records, expected);
  });

  it("are taken together from folders and globs, and leave nothing behind", async () => {
    for (const [name, content] of Object.entries(packedTexts)) {
      await folder.write(`many/${name}`, content);
    }
    for (const codec of parquetCodecs) {
      await folder.write(`many/deeper/${codec}.parquet`, parquetFile(codec));
    }
    const fileCount = Object.keys(packedTexts).length + parquetCodecs.length;
    const all = await folder.open({ trainFiles: [folder.file("many")] });
    assert.equal(all.train?.size, fileCount * rows.length);
    const globs = [folder.file("many/*.{gz,zst}"), folder.file("many/**/*.parquet")];
    const { train } = await folder.open({ trainFiles: globs });
    assert.equal(train?.size, (fileCount - 1) * rows.length);
    const last = await train.read([train.size - 1], never);
    assert.equal(last[0]?.text, rows.at(-1)?.text);
    assert.deepEqual(await readdir(folder.file("cache")), []);
  });
});
