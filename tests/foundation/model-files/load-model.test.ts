/**
 * Goal: a model folder loads as transformers loads it, whatever its age; whatever is wrong is refused by name. Method:
 * MiniLM's own weights under other names and in other files, and a small BERT for what is refused.
 */
import assert from "node:assert/strict";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, it } from "node:test";
import { ensureQuickstart } from "../../../coordinator/quickstart/quickstart.ts";
import { loadModel, type LoadOptions } from "../../../foundation/model-files/load-model.ts";
import { writeModel } from "../../../foundation/model-files/write-model.ts";
import { createProgressSink } from "../../../foundation/native/progress.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import { tinyConfig, tinyVocabulary, writeTinyBert } from "../../support/tiny-bert.ts";
import { rawFloats, readRaw, writeRaw, type RawTensor } from "./raw-safetensors.ts";

const plain: LoadOptions = { labels: null, problemType: null, seed: 1, requireHead: false };
const spam: LoadOptions = { ...plain, labels: ["ham", "spam"] };

let parent: string;
before(() => {
  parent = mkdtempSync(join(tmpdir(), "load-model-"));
});
after(() => rmSync(parent, { recursive: true }));

describe("MiniLM's weights load", () => {
  let minilm: string;
  let tensors: Record<string, RawTensor>;
  let state: Float32Array;
  before(async () => {
    const now = () => performance.now();
    const progress = createProgressSink({ output: process.stderr, isTerminal: false, now });
    const signal = new AbortController().signal;
    minilm = (await ensureQuickstart({ env: process.env, progress, signal })).modelFolder;
    tensors = readRaw(join(minilm, "model.safetensors"));
    state = (await loadModel(minilm, spam)).state;
  });

  /** A folder with MiniLM's config and these files. */
  function folderOf(name: string, files: readonly string[]): string {
    const folder = join(parent, name);
    mkdirSync(folder);
    for (const file of ["config.json", ...files]) cpSync(join(minilm, file), join(folder, file));
    return folder;
  }

  function renamed(rename: (name: string) => string): Record<string, RawTensor> {
    return Object.fromEntries(
      Object.entries(tensors).map(([name, tensor]) => [rename(name), tensor]),
    );
  }

  it("under old names, with a prefix, with unused heads and positions, with only a vocabulary", async () => {
    const folder = folderOf("old", ["vocab.txt"]);
    const old = renamed((name) =>
      `bert.${name}`
        .replace("LayerNorm.weight", "LayerNorm.gamma")
        .replace("LayerNorm.bias", "LayerNorm.beta"),
    );
    writeRaw(join(folder, "model.safetensors"), {
      ...old,
      "bert.embeddings.position_ids": {
        dtype: "I64",
        shape: [1, 512],
        bytes: new Uint8Array(BigInt64Array.from({ length: 512 }, (_, i) => BigInt(i)).buffer),
      },
      "cls.predictions.bias": rawFloats([2], [1, 2]),
      "cls.seq_relationship.weight": rawFloats([2], [1, 2]),
    });
    const model = await loadModel(folder, spam);
    assert.deepEqual(model.state, state);
    assert.deepEqual(model.notes, [
      "Weights of another head are not used: cls.*",
      "Newly made, to be trained first: classifier.weight, classifier.bias",
    ]);
    assert.deepEqual([...model.tokenizerFiles.keys()], ["vocab.txt"]);
  });

  it("from shards, and without a pooler, which is newly made", async () => {
    const folder = folderOf("shards", ["tokenizer.json"]);
    const names = Object.keys(tensors).filter((name) => !name.startsWith("pooler."));
    const shards = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"];
    const shardOf = new Map(names.map((name, index) => [name, shards[index % 2]!]));
    for (const shard of shards) {
      const own = names.filter((name) => shardOf.get(name) === shard);
      const part = Object.fromEntries(own.map((name) => [name, tensors[name]!]));
      writeRaw(join(folder, shard), part);
    }
    const index = { weight_map: Object.fromEntries(shardOf) };
    writeFileSync(join(folder, "model.safetensors.index.json"), JSON.stringify(index));
    const model = await loadModel(folder, spam);
    for (const { name, offset, size } of layOutTable(model.specs).entries) {
      const values = model.state.subarray(offset, offset + size);
      if (name === "bert.pooler.dense.weight") {
        const deviation = Math.hypot(...values.subarray(0, 10_000)) / 100;
        assert.ok(Math.abs(deviation - 0.02) < 0.001, `drawn with ${deviation}`);
      } else if (name === "bert.pooler.dense.bias") assert.ok(values.every((value) => value === 0));
      else assert.deepEqual(values, state.subarray(offset, offset + size), name);
    }
    assert.match(model.notes.join(), /Newly made.*bert\.pooler\.dense\.weight/);
    assert.deepEqual((await loadModel(folder, spam)).state, model.state, "drawn from the seed");
    const other = await loadModel(folder, { ...spam, seed: 2 });
    assert.notDeepEqual(other.state, model.state);
  });
});

describe("loadModel()", () => {
  let folder: string;
  let count = 0;
  beforeEach(async () => {
    count += 1;
    folder = join(parent, `tiny-${count}`);
    await writeTinyBert(folder, { id2label: { 0: "ham", 1: "spam" } });
  });

  const weights = () => join(folder, "model.safetensors");
  const change = (changes: Record<string, unknown>) =>
    writeFileSync(join(folder, "config.json"), tinyConfig(changes));
  const reweight = (edit: (tensors: Record<string, RawTensor>) => void) => {
    const tensors = readRaw(weights());
    edit(tensors);
    writeRaw(weights(), tensors);
  };
  const refuses = async (message: RegExp, options: LoadOptions = plain) =>
    assert.rejects(loadModel(folder, options), { name: "BadInput", message });

  it("gives back what writeModel() wrote", async () => {
    const model = await loadModel(folder, plain);
    assert.deepEqual(model.labels, ["ham", "spam"]);
    assert.deepEqual(model.notes, []);
    const copy = join(parent, "copy");
    mkdirSync(copy);
    await writeModel(copy, model);
    assert.deepEqual(await loadModel(copy, { ...plain, requireHead: true }), model);
    const config = JSON.parse(readFileSync(join(copy, "config.json"), "utf8")) as object;
    assert.deepEqual(
      Object.entries(config).filter(([key]) => /label|problem|arch|dtype/.test(key)),
      [
        ["architectures", ["BertForSequenceClassification"]],
        ["id2label", { "0": "ham", "1": "spam" }],
        ["label2id", { ham: 0, spam: 1 }],
        ["problem_type", "single_label_classification"],
        ["torch_dtype", "float32"],
      ],
    );
  });

  it("refuses a folder that is none, or lacks a file", async () => {
    await assert.rejects(loadModel(join(parent, "none"), plain), /expected a folder with a model/);
    rmSync(weights());
    await refuses(/expected model\.safetensors, found none/);
    writeFileSync(join(folder, "pytorch_model.bin"), "");
    await refuses(/found only pytorch_model\.bin \(convert it once with transformers/);
    rmSync(join(folder, "config.json"));
    await refuses(/config\.json: expected the model's config, found no file/);
  });

  it("refuses a model type that it does not know, before it looks at anything else", async () => {
    change({ model_type: "llama" });
    rmSync(weights());
    await refuses(/config\.json, column model_type: expected one of bert, .*found "llama"/);
  });

  it("refuses a missing, an extra and a wrongly shaped tensor by name", async () => {
    const name = "bert.encoder.layer.1.output.dense.bias";
    const tensors = readRaw(weights());
    reweight((all) => delete all[name]);
    await refuses(/expected tensor bert\.encoder\.layer\.1\.output\.dense\.bias \[8\], found none/);
    writeRaw(weights(), { ...tensors, "encoder.layer.2.output.dense.bias": tensors[name]! });
    await refuses(
      /expected only tensors of the model .*found encoder\.layer\.2\.output\.dense\.bias/,
    );
    writeRaw(weights(), { ...tensors, [name]: rawFloats([7], [1, 2, 3, 4, 5, 6, 7]) });
    await refuses(/tensor bert\.encoder\.layer\.1\.output\.dense\.bias \[8\].*found \[7\]/);
    writeRaw(weights(), { ...tensors, [name.replace("bert.", "")]: tensors[name]! });
    await refuses(
      /expected one tensor bert\.encoder\.layer\.1\.output\.dense\.bias, found .* and /,
    );
  });

  it("refuses labels that the trained head does not have, and a missing head where one is needed", async () => {
    await refuses(
      /expected 2 labels, as the model's trained head has, found 3 in the data: a, b, c/,
      {
        ...plain,
        labels: ["a", "b", "c"],
      },
    );
    reweight((all) => delete all["classifier.weight"]);
    await refuses(/expected tensor classifier\.weight .*fine-tune it first/, {
      ...plain,
      requireHead: true,
    });
    const model = await loadModel(folder, { ...plain, labels: ["a", "b"] });
    assert.match(model.notes.join(), /Newly made.*classifier\.weight/);
  });

  it("makes one output for a regression without a trained head", async () => {
    reweight((all) => {
      delete all["classifier.weight"];
      delete all["classifier.bias"];
    });
    const model = await loadModel(folder, { ...plain, problemType: "regression" });
    assert.deepEqual(model.labels, ["LABEL_0"]);
    assert.deepEqual(model.specs.at(-1)!.shape, [1]);
  });

  it("refuses a tokenizer of another size than the vocabulary's, and takes a padded one", async () => {
    const vocabulary = join(folder, "vocab.txt");
    const text = tinyVocabulary.join("\n");
    writeFileSync(vocabulary, `${text}\nmore\n`);
    await refuses(/expected a tokenizer of 77 tokens, as vocab_size .*, found 78 tokens/);
    writeFileSync(vocabulary, tinyVocabulary.slice(0, -1).join("\n"));
    await refuses(/expected a tokenizer of 77 tokens, as vocab_size .*, found 76 tokens/);
    writeFileSync(vocabulary, text);
    await writeTinyBert(join(parent, "padded"), { vocab_size: 80 });
    assert.equal((await loadModel(join(parent, "padded"), plain)).specs[0]!.shape[0], 80);
  });
});
