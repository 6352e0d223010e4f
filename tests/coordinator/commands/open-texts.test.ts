import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { after, before, describe, it } from "node:test";
import {
  fileTexts,
  givenTexts,
  streamedTexts,
  type OpenedTexts,
} from "../../../coordinator/commands/open-texts.ts";
import type { DataRecord } from "../../../coordinator/data/dataset.ts";

const { signal } = new AbortController();

async function all(texts: OpenedTexts): Promise<DataRecord[]> {
  const records: DataRecord[] = [];
  for await (const batch of texts.records) records.push(...batch);
  await texts.close();
  return records;
}

describe("texts to predict", () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "open-texts-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("come from the command line, one of them as a pair", async () => {
    assert.deepEqual(await all(givenTexts(["a", "b"], null)), [
      { index: 0, text: "a" },
      { index: 1, text: "b" },
    ]);
    assert.deepEqual(await all(givenTexts(["a"], "b")), [{ index: 0, text: "a", textPair: "b" }]);
    assert.throws(
      () => givenTexts(["a", "b"], "c"),
      /--text-pair: expected one text beside it, found 2/,
    );
  });

  it("come from standard input, pairs with one tab, lines of any length and ending", async () => {
    const input = Readable.from(["a\nb\tc\r\n", "d\te\tf\n\n", "x".repeat(10_000)]);
    assert.deepEqual(await all(streamedTexts(input, signal)), [
      { index: 0, text: "a" },
      { index: 1, text: "b", textPair: "c" },
      { index: 2, text: "d\te\tf" },
      { index: 3, text: "" },
      { index: 4, text: "x".repeat(10_000) },
    ]);
  });

  it("come from files of any training format, labels left alone", async () => {
    const choice = { textColumn: null, textPairColumn: null, labelColumn: null };
    const lines = Array.from({ length: 600 }, (_, row) => `text ${row}\tlabel ${row}`);
    await writeFile(join(folder, "a.tsv"), ["sentence\tlabel", ...lines, ""].join("\n"));
    await writeFile(join(folder, "b.jsonl"), '{"sentence": "last", "label": null}\n');
    const names = [join(folder, "a.tsv"), join(folder, "b.jsonl")];
    const records = await all(await fileTexts(names, { choice, cacheFolder: folder, signal }));
    assert.equal(records.length, 601);
    assert.deepEqual(records[599], { index: 599, text: "text 599" });
    assert.deepEqual(records[600], { index: 600, text: "last" });
    await assert.rejects(
      fileTexts([join(folder, "none.tsv")], { choice, cacheFolder: folder, signal }),
      /--file, .*none\.tsv: expected an existing file/,
    );
  });
});
