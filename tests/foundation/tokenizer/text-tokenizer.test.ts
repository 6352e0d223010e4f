/**
 * Goal: tokens equal transformers' fast tokenizer: on 10,000 real lines, alone and in pairs, whole and cut, and on texts
 * that are hard. Method: hashes and tokens stored by make-references.py; the same from a folder with only vocab.txt.
 */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { before, describe, it } from "node:test";
import { z } from "zod";
import { ensureQuickstart, type Quickstart } from "../../../coordinator/quickstart/quickstart.ts";
import { createProgressSink } from "../../../foundation/native/progress.ts";
import {
  openTextTokenizer,
  type TextTokenizer,
} from "../../../foundation/tokenizer/text-tokenizer.ts";

const hashesByLength = z.record(z.string(), z.array(z.string()));
const numbers = z.array(z.number());
const schema = z.object({
  lines: z.string(),
  mails: z.object({ alone: hashesByLength, paired: hashesByLength }),
  mrpc: hashesByLength,
  hard: z.record(
    z.string(),
    z.object({
      settings: z.record(z.string(), z.unknown()),
      length: z.number(),
      alone: z.array(numbers),
      paired: z.array(z.tuple([numbers, numbers])),
    }),
  ),
});
const read = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(name, import.meta.url), "utf8"));
const references = schema.parse(read("references.json"));
const hardTexts = z.array(z.string()).parse(read("hard-texts.json"));
const source = { folder: "MiniLM", modelType: "bert" };
const perHash = 100;
const repository = fileURLToPath(new URL("../../..", import.meta.url));
const mrpcFolder = join(
  process.env["RINGMASTER_TEST_DATA"] ?? join(repository, "../shared/data"),
  "mrpc",
);

let quickstart: Quickstart;
let whole: TextTokenizer;
let vocabularyOnly: TextTokenizer;

before(async () => {
  const now = () => performance.now();
  const progress = createProgressSink({ output: process.stderr, isTerminal: false, now });
  const signal = new AbortController().signal;
  quickstart = await ensureQuickstart({ env: process.env, progress, signal });
  whole = openTextTokenizer(
    new Map([file("tokenizer.json"), file("tokenizer_config.json")]),
    source,
  );
  vocabularyOnly = openTextTokenizer(new Map([file("vocab.txt")]), source);
});

function file(name: string): [string, Uint8Array] {
  return [name, readFileSync(join(quickstart.modelFolder, name))];
}

/** Hashes as make-references.py makes them. */
function hashes(
  tokenizer: TextTokenizer,
  rows: readonly (readonly [string, string | undefined])[],
  length: number,
): string[] {
  const groups = Array.from({ length: Math.ceil(rows.length / perHash) }, (_, group) =>
    rows.slice(group * perHash, (group + 1) * perHash),
  );
  return groups.map((group) => {
    const digest = createHash("sha256");
    for (const [text, pair] of group) {
      const { ids, typeIds } = tokenizer.encode(text, pair, length);
      digest.update(`${ids.join(",")};${typeIds.join(",")};`);
    }
    return digest.digest("hex").slice(0, 12);
  });
}

/** Pieces of 240 code points of the e-mails, every third of them: as mail_lines of make-references.py. */
function mailLines(): string[] {
  const row = z.object({ text: z.string() });
  const pieces = [quickstart.trainFile, quickstart.validationFile].flatMap((name) =>
    readFileSync(name, "utf8")
      .trimEnd()
      .split("\n")
      .flatMap((line) => {
        const points = Array.from(row.parse(JSON.parse(line)).text);
        return Array.from({ length: Math.ceil(points.length / 240) }, (_, piece) =>
          points.slice(piece * 240, (piece + 1) * 240).join(""),
        );
      }),
  );
  return pieces.filter((_, index) => index % 3 === 0).slice(0, 10_000);
}

describe("encode() equals transformers'", () => {
  it("on 10,000 lines of real e-mails, alone and in pairs, whole and cut", () => {
    const lines = mailLines();
    assert.equal(lines.length, 10_000);
    const hash = createHash("sha256").update(lines.join("\n")).digest("hex");
    assert.equal(
      hash,
      references.lines,
      "the quick start's e-mails are others: make the references again",
    );
    const alone = lines.map((line) => [line, undefined] as const);
    const paired = lines.map((line, index) => [line, lines[(index + 1) % lines.length]!] as const);
    assert.deepEqual(hashes(whole, alone, 512), references.mails.alone["512"]);
    assert.deepEqual(hashes(whole, paired, 33), references.mails.paired["33"]);
    assert.deepEqual(hashes(vocabularyOnly, paired, 128), references.mails.paired["128"]);
  });

  it(
    "on MRPC's 5,801 pairs",
    { skip: existsSync(mrpcFolder) ? false : `MRPC's files are not in ${mrpcFolder}` },
    () => {
      const pairs = ["train", "test"].flatMap((part) =>
        readFileSync(join(mrpcFolder, `msr_paraphrase_${part}.txt`), "utf8")
          .split(/\r?\n/)
          .slice(1)
          .filter((line) => line.trim() !== "")
          .map((line) => [line.split("\t")[3]!, line.split("\t")[4]] as const),
      );
      for (const [length, expected] of Object.entries(references.mrpc)) {
        assert.deepEqual(hashes(whole, pairs, Number(length)), expected);
      }
    },
  );

  for (const [name, { settings, length, alone, paired }] of Object.entries(references.hard)) {
    it(`on hard texts, ${name}`, () => {
      const tokenizer = openTextTokenizer(
        new Map([
          file("vocab.txt"),
          ["tokenizer_config.json", new TextEncoder().encode(JSON.stringify(settings))],
        ]),
        source,
      );
      for (const [index, text] of hardTexts.entries()) {
        assert.deepEqual(tokenizer.encode(text, undefined, length).ids, alone[index], text);
        const pair = hardTexts[index + 1];
        if (pair === undefined) continue;
        const { ids, typeIds } = tokenizer.encode(text, pair, length);
        assert.deepEqual([ids, typeIds], paired[index], `${text} + ${pair}`);
      }
    });
  }
});

describe("openTextTokenizer()", () => {
  it("follows tokenizer_config.json where it differs from tokenizer.json, as BertTokenizerFast does", () => {
    const settings = new TextEncoder().encode('{"do_lower_case":false}');
    const cased = openTextTokenizer(
      new Map([file("tokenizer.json"), ["tokenizer_config.json", settings]]),
      source,
    );
    const expected = references.hard["with case"]!;
    assert.deepEqual(
      hardTexts.map((text) => cased.encode(text, undefined, expected.length).ids),
      expected.alone,
    );
  });

  it("gives no second type where the model takes none", () => {
    const settings = new TextEncoder().encode(
      '{"model_input_names":["input_ids","attention_mask"]}',
    );
    const tokenizer = openTextTokenizer(
      new Map([file("vocab.txt"), ["tokenizer_config.json", settings]]),
      source,
    );
    assert.deepEqual(tokenizer.encode("one", "two", 8).typeIds, [0, 0, 0, 0, 0]);
  });

  it("says whether a text was cut, and what it counts", () => {
    assert.equal(whole.encode("one two three", undefined, 5).truncated, false);
    assert.equal(whole.encode("one two three", undefined, 4).truncated, true);
    assert.equal(whole.encode("one two", "three", 6).truncated, false);
    assert.equal(whole.encode("one two", "three", 5).truncated, true);
    assert.deepEqual([whole.size, whole.padId], [30522, 0]);
  });

  it("refuses what it cannot honour, naming file and field", () => {
    const open = (...files: [string, Uint8Array][]) => openTextTokenizer(new Map(files), source);
    const text = (value: string) => new TextEncoder().encode(value);
    assert.throws(() => open(), /MiniLM: expected tokenizer.json or vocab.txt, found neither/);
    assert.throws(
      () => open(file("vocab.txt"), ["tokenizer_config.json", text('{"padding_side":"left"}')]),
      /tokenizer_config.json, column padding_side: expected "right"/,
    );
    assert.throws(() => open(["vocab.txt", text("[PAD]\n[UNK]\n")]), /expected a line \[CLS\]/);
    assert.throws(() => open(["tokenizer.json", text('{"__proto__":1}')]), /__proto__/);
    assert.throws(() => open(["tokenizer.json", text("{")]), /tokenizer.json: expected JSON/);
    assert.throws(
      () => open(["tokenizer.json", text('{"post_processor":{"type":"RobertaProcessing"}}')]),
      {
        name: "BadInput",
        message:
          /post_processor: expected TemplateProcessing or BertProcessing, found "RobertaProcessing"/,
      },
    );
  });
});
