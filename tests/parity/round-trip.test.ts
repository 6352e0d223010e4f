/**
 * Goal: what we write, transformers loads, with the same predictions from text; and the reverse. Method: a small model in
 * a folder, texts through tokenizer, collator and recorded program here, through round-trip.py there. Needs a Python with
 * tests/parity/requirements.txt: RINGMASTER_TEST_PYTHON, default python3.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { after, before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { z } from "zod";
import { loadModel, type LoadedModel } from "../../foundation/model-files/load-model.ts";
import { layOutTable, serializeTable } from "../../foundation/parameters/table.ts";
import { SampleRecordSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import { createCollator } from "../../worker/model/collators.ts";
import { skipWithout, works } from "../support/needed-tool.ts";
import { writeTinyBert } from "../support/tiny-bert.ts";
import { programs, startEngine } from "./engine-under-test.ts";

const python = process.env["RINGMASTER_TEST_PYTHON"] ?? "python3";
const found = (name: string): string => `u.find_spec("${name}")`;
const skip = skipWithout(
  works(python, [
    "-c",
    `import importlib.util as u; exit(not (${found("torch")} and ${found("transformers")}))`,
  ]),
  "a Python with torch and transformers (RINGMASTER_TEST_PYTHON)",
);
const script = fileURLToPath(new URL("round-trip.py", import.meta.url));
const length = 16;
const texts: [string, string | null][] = [
  ["a ring of workers", null],
  ["one text", "and another, 42"],
  ["x", null],
  ["a text that is cut because it has more letters than fit", "so has this one"],
  ["", "empty before this"],
];
const answer = z.object({ logits: z.array(z.array(z.number())), labels: z.array(z.string()) });

function ask(verb: "load" | "save", folder: string) {
  const input = JSON.stringify(texts);
  const ran = spawnSync(python, [script, verb, folder], { input, encoding: "utf8" });
  assert.equal(ran.status, 0, ran.stderr);
  return answer.parse(JSON.parse(ran.stdout.trim().split("\n").at(-1)!));
}

describe("a model goes to transformers and back", { skip }, () => {
  let engine: TfjsEngine;
  let parent: string;
  before(async () => {
    parent = mkdtempSync(join(tmpdir(), "round-trip-"));
    engine = await startEngine();
  });
  after(async () => {
    await engine.close();
    rmSync(parent, { recursive: true });
  });

  async function predict(model: LoadedModel): Promise<Float32Array[]> {
    const { configJson, tokenizerFiles, family } = model;
    const limits = { bucketLengths: [length], maxLength: length };
    const collator = await createCollator(family, { configJson, tokenizerFiles, ...limits });
    const samples = texts.map(([text, pair], index) =>
      create(SampleRecordSchema, {
        index: BigInt(index),
        text,
        ...(pair === null ? {} : { textPair: pair }),
      }),
    );
    // One row more than samples: padding must not matter.
    const rows = texts.length + 1;
    const settings = programs(configJson, rows, length);
    const tableJson = serializeTable(layOutTable(model.specs));
    await engine.prepare({ ...settings, tableJson, training: false });
    await engine.loadState({ parameters: model.state, step: 0 });
    const { logits, columns, lossSum, weight } = await engine.evaluate(
      collator.collate(samples, rows),
    );
    assert.deepEqual([lossSum, weight], [0, 0], "nothing is labelled");
    return texts.map((_, row) => logits.slice(row * columns, (row + 1) * columns));
  }

  function assertSame(
    found: readonly Float32Array[],
    expected: readonly (readonly number[])[],
  ): void {
    for (const [row, logits] of expected.entries()) {
      for (const [column, logit] of logits.entries()) {
        assert.ok(Math.abs(found[row]![column]! - logit) < 1e-4, `row ${row}, column ${column}`);
      }
    }
  }

  it("what we write loads there, and predicts the same", async () => {
    const folder = join(parent, "ours");
    await writeTinyBert(folder, {
      id2label: { 0: "ham", 1: "spam" },
      label2id: { ham: 0, spam: 1 },
    });
    const { logits, labels } = ask("load", folder);
    assert.deepEqual(labels, ["ham", "spam"]);
    const plain = { labels: null, problemType: null, seed: 1, requireHead: true };
    assertSame(await predict(await loadModel(folder, plain)), logits);
  });

  it("what transformers saves loads here, and predicts the same", async () => {
    const ours = join(parent, "vocabulary");
    await writeTinyBert(ours);
    const folder = join(parent, "theirs");
    mkdirSync(folder);
    cpSync(join(ours, "vocab.txt"), join(folder, "vocab.txt"));
    const { logits, labels } = ask("save", folder);
    const plain = { labels: null, problemType: null, seed: 1, requireHead: true };
    const model = await loadModel(folder, plain);
    assert.deepEqual(model.labels, labels);
    assert.deepEqual(model.notes, []);
    assertSame(await predict(model), logits);
  });
});
