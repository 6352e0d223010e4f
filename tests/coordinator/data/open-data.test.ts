import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { gzipSync } from "node:zlib";
import { estimateLength } from "../../../coordinator/data/estimate-length.ts";
import { stableShare } from "../../../coordinator/data/hold-out.ts";
import { DataFolder, never, readAll } from "./support/data-folder.ts";

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))));
const testData = process.env["RINGMASTER_TEST_DATA"] ?? join(root, "..", "shared", "data");
const mrpc = join(testData, "mrpc");

describe("openData", () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  it("reads TSV without quoting, with CRLF and a byte order mark", async () => {
    const { data, records } = await folder.train(
      "a.tsv",
      '\ufeffQuality\t#1 ID\t#1 String\t#2 String\r\n1\t7\t"He said\tit\'s, "fine"\r\n0\t8\té😀\tz\r\n',
    );
    assert.deepEqual(records, [
      { index: 0, text: '"He said', textPair: 'it\'s, "fine"', label: 1 },
      { index: 1, text: "é😀", textPair: "z", label: 0 },
    ]);
    assert.deepEqual(data.labels, ["0", "1"]);
    assert.equal(data.problemType, "single_label_classification");
    assert.match(data.notes.join("\n"), /text "#1 String", pair "#2 String", label "Quality"/);
    assert.match(data.notes.join("\n"), /--validation-split 0\.1/);
  });

  it("reads CSV with quotes over lines, doubled quotes, commas, and no last line end", async () => {
    const { records } = await folder.train(
      "a.csv",
      'label,text\r\nspam,"Dear ""friend"",\r\nbuy"\r\nham,plain 5" disk\r\nham,""\r\nspam,"last"',
    );
    assert.deepEqual(records, [
      { index: 0, text: 'Dear "friend",\r\nbuy', label: 1 },
      { index: 1, text: 'plain 5" disk', label: 0 },
      { index: 2, text: "", label: 0 },
      { index: 3, text: "last", label: 1 },
    ]);
  });

  it("reads JSON lines whose other keys vary", async () => {
    const { records } = await folder.train(
      "a.jsonl",
      '{"text":"a\\nb","label":"no","x":1}\n{"label":"yes","text":"\\u00e9 {\\"}","y":{"z":[1]}}\n\n\n',
    );
    assert.deepEqual(records, [
      { index: 0, text: "a\nb", label: 0 },
      { index: 1, text: 'é {"}', label: 1 },
    ]);
  });

  for (const [name, content] of [
    ["array", '[ {"text": "a ] }", "label": 0} ,\n\n{"text": "b", "label": 1, "n": [{}]}\n ]\n'],
    ["lines", '{"text": "a ] }", "label": 0}\n{"text": "b", "label": 1}\n'],
    ["array in one line", '\ufeff[{"text":"a ] }","label":0},{"label":1,"text":"b"}]'],
  ] as const) {
    it(`reads a .json file that holds an ${name}`, async () => {
      const { records } = await folder.train("a.json", content);
      assert.deepEqual(records, [
        { index: 0, text: "a ] }", label: 0 },
        { index: 1, text: "b", label: 1 },
      ]);
    });
  }

  it("reads any records in any order from many blocks and files, also from gzip", async () => {
    const line = (index: number): string => `${index % 3}\ttext ${index} ${"x".repeat(index % 97)}`;
    const part = (from: number, to: number): string =>
      `label\ttext\n${Array.from({ length: to - from }, (_, place) => line(from + place)).join("\n")}\n`;
    await folder.write("parts/b.tsv.gz", gzipSync(part(2000, 5000)));
    await folder.write("parts/a.tsv", part(0, 2000));
    await folder.write("parts/.hidden.tsv", "nonsense");
    await folder.write("parts/readme.md", "nonsense");
    const { train } = await folder.open({ trainFiles: [folder.file("parts")] });
    assert.ok(train);
    assert.equal(train.size, 5000);
    const indices = Array.from({ length: 300 }, (_, place) => (place * 2971) % 5000);
    indices.push(4999, 0, 0, 1999, 2000);
    const records = await train.read(indices, never);
    assert.deepEqual(
      records,
      indices.map((index) => ({
        index,
        text: line(index).slice(2),
        label: index % 3,
      })),
    );
    for (const index of indices) {
      const length = estimateLength(line(index).slice(2));
      assert.ok(Math.abs(train.lengthOf(index) - length) <= 0.05 * length + 1);
    }
    assert.deepEqual(await readdir(folder.file("cache")), [], "unpacked files have no name");
    await assert.rejects(train.read([5000], never), RangeError);
    await assert.rejects(train.read([0], AbortSignal.abort(new Error("stop"))), /stop/);
  });

  it("takes globs and lists of files in a stable order, none twice", async () => {
    for (const name of ["g2.csv", "g10.csv", "g1.csv"]) {
      await folder.write(`globs/${name}`, `text,label\n${name},a\n${name},b\n`);
    }
    const { train } = await folder.open({
      trainFiles: [folder.file("globs/g2.csv"), folder.file("globs/g*.csv")],
    });
    const texts = (await readAll(train!)).map(({ text }) => text);
    assert.deepEqual([...new Set(texts)], ["g2.csv", "g1.csv", "g10.csv"]);
    assert.equal(texts.length, 6);
  });

  it("sorts labels by name, integers by value, and gives validation the same numbers", async () => {
    const named = await folder.train("n.csv", "text,label\na,zeta\nb,alpha\nc,Beta\n");
    assert.deepEqual(named.data.labels, ["Beta", "alpha", "zeta"]);
    const numbered = await folder.train("i.csv", "text,label\na,10\nb,9\nc,-1\nd,9.0\n");
    assert.deepEqual(numbered.data.labels, ["-1", "9", "10"]);
    const { validation } = await folder.open({
      trainFiles: [folder.file("n.csv")],
      validationFiles: [await folder.write("v.csv", "text,label\nx,alpha\n")],
    });
    assert.deepEqual(await readAll(validation!), [{ index: 0, text: "x", label: 1 }]);
  });

  it("takes numbers with fractions as a regression, booleans as classes", async () => {
    const scores = await folder.train("s.csv", "text,label\na,5\nb,3.8\nc,4e-1\n");
    assert.equal(scores.data.problemType, "regression");
    assert.equal(scores.data.labels, null);
    assert.deepEqual(
      scores.records.map(({ target }) => target),
      [5, 3.8, 0.4],
    );
    const flags = await folder.train(
      "b.jsonl",
      '{"text":"a","label":true}\n{"text":"b","label":false}\n',
    );
    assert.deepEqual(flags.data.labels, ["false", "true"]);
  });

  it("takes lists as several labels a record", async () => {
    const names = await folder.train(
      "m.jsonl",
      '{"text":"a","labels":["x","z"]}\n{"text":"b","labels":[]}\n{"text":"c","labels":["y"]}\n',
    );
    assert.equal(names.data.problemType, "multi_label_classification");
    assert.deepEqual(names.data.labels, ["x", "y", "z"]);
    assert.deepEqual(
      names.records.map(({ targets }) => targets),
      [
        [1, 0, 1],
        [0, 0, 0],
        [0, 1, 0],
      ],
    );
    const vectors = await folder.train(
      "v.jsonl",
      '{"text":"a","labels":[1,0.5]}\n{"text":"b","labels":[0,0]}\n',
    );
    assert.deepEqual(vectors.data.labels, ["0", "1"]);
    assert.deepEqual(vectors.records[0]?.targets, [1, 0.5]);
  });

  it("keeps the labels of a model that has names, and fills placeholders", async () => {
    const own = { labels: ["spam", "ham"] };
    const kept = await folder.train("k.csv", "text,label\na,ham\nb,spam\n", own);
    assert.deepEqual(kept.data.labels, ["spam", "ham"]);
    assert.deepEqual(
      kept.records.map(({ label }) => label),
      [1, 0],
    );
    const numbers = await folder.train("n.csv", "text,label\na,0\nb,1\n", own);
    assert.deepEqual(
      numbers.records.map(({ label }) => label),
      [0, 1],
    );
    const placeholders = { labels: ["LABEL_0", "LABEL_1"] };
    const filled = await folder.train("f.csv", "text,label\na,x\nb,w\n", placeholders);
    assert.deepEqual(filled.data.labels, ["w", "x"]);
    const regression = await folder.train("r.csv", "text,label\na,1\nb,2\n", {
      labels: ["LABEL_0"],
    });
    assert.equal(regression.data.problemType, "regression");
  });

  it("holds out the same texts whatever their order, duplicates on one side", async () => {
    const texts = Array.from({ length: 400 }, (_, index) => `text ${index % 350}`);
    const rows = texts.map((text, index) => `${text},${index % 2}`);
    const open = async (name: string, lines: readonly string[]) => {
      const { data, records } = await folder.train(name, `text,label\n${lines.join("\n")}\n`, {
        settings: { validationSplit: 0.2 },
      });
      const held = await readAll(data.validation!);
      return { train: records.map(({ text }) => text), held: held.map(({ text }) => text) };
    };
    const forward = await open("forward.csv", rows);
    const backward = await open("backward.csv", rows.toReversed());
    assert.deepEqual(forward.held.toSorted(), backward.held.toSorted());
    assert.deepEqual([...forward.train, ...forward.held].toSorted(), texts.toSorted());
    assert.ok(forward.held.length > 50 && forward.held.length < 110, `${forward.held.length}`);
    assert.ok(!forward.held.some((text) => forward.train.includes(text)));
    assert.deepEqual(
      forward.train,
      texts.filter((text) => stableShare(text, undefined) >= 0.2),
    );
  });

  it("opens data to evaluate on without training data, and test data without labels", async () => {
    const evaluated = await folder.open(
      { validationFiles: [await folder.write("e.csv", "text,label\na,ham\n")] },
      { labels: ["ham", "spam"] },
    );
    assert.equal(evaluated.train, null);
    assert.deepEqual(await readAll(evaluated.validation!), [{ index: 0, text: "a", label: 0 }]);
    const trainFiles = [await folder.write("t.csv", "text,label\na,0\nb,1\n")];
    for (const content of ["text\nx\ny\n", "text,label\nx,-1\ny,-1\n", "text,label\nx,\ny,\n"]) {
      const { test } = await folder.open({
        trainFiles,
        testFiles: [await folder.write("u.csv", content)],
      });
      assert.equal(test?.labelled, false);
      assert.deepEqual(await readAll(test), [
        { index: 0, text: "x" },
        { index: 1, text: "y" },
      ]);
    }
  });

  it("notices that a file was changed after it was opened", async () => {
    const { data } = await folder.train("c.csv", "text,label\na,0\nb,1\n");
    await folder.write("c.csv", "text,label\na,0\nlonger,1\n");
    await assert.rejects(data.train!.read([1], never), /changed after it was opened/);
  });

  it("reads MRPC's original files", { skip: !existsSync(mrpc) && "no MRPC" }, async () => {
    const { train, validation, labels } = await folder.open({
      trainFiles: [join(mrpc, "msr_paraphrase_train.txt")],
      validationFiles: [join(mrpc, "msr_paraphrase_test.txt")],
    });
    assert.equal(train?.size, 4076);
    assert.equal(validation?.size, 1725);
    assert.deepEqual(labels, ["0", "1"]);
    const records = await readAll(train);
    const positive = records.filter(({ label }) => label === 1).length;
    assert.equal((positive / records.length).toFixed(3), "0.675");
    assert.match(records[0]?.text ?? "", /^Amrozi .* "the witness", of deliberately/);
    assert.ok(records.every(({ textPair = "" }) => textPair !== "" && !textPair.endsWith("\r")));
  });
});
