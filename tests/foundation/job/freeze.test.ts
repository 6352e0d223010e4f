import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BadInput } from "../../../foundation/bad-input.ts";
import { frozenNames } from "../../../foundation/job/freeze.ts";
import type { TensorSpec } from "../../../foundation/parameters/table.ts";

const names = [
  "bert.embeddings.word_embeddings.weight",
  "bert.embeddings.LayerNorm.bias",
  ...[0, 1, 2, 10].flatMap((layer) => [
    `bert.encoder.layer.${layer}.attention.self.query.weight`,
    `bert.encoder.layer.${layer}.attention.self.query.bias`,
  ]),
  "classifier.weight",
  "classifier.bias",
];
const specs: TensorSpec[] = [
  ...names.map((name) => ({ name, shape: [1], kind: "parameter" as const, decay: false })),
  { name: "bert.embeddings.position_ids", shape: [1], kind: "buffer", decay: false },
];

function frozen(...patterns: string[]): string[] {
  return [...frozenNames(patterns, specs)];
}

describe("frozenNames", () => {
  it("takes a run of whole dotted parts anywhere in the name, parameters only", () => {
    assert.deepEqual(frozen("embeddings"), names.slice(0, 2));
    assert.deepEqual(frozen("classifier.bias"), ["classifier.bias"]);
    assert.deepEqual(frozen("bert.embeddings"), names.slice(0, 2));
  });

  it("takes ranges of layers as numbers", () => {
    assert.deepEqual(frozen("encoder.layer.0-2"), names.slice(2, 8));
    assert.deepEqual(frozen("encoder.layer.1"), names.slice(4, 6));
    assert.deepEqual(frozen("layer.3-10"), names.slice(8, 10));
  });

  it("takes stars for any characters, from a dot or the start to the end", () => {
    assert.deepEqual(
      frozen("*.bias"),
      names.filter((name) => name.endsWith(".bias")),
    );
    assert.deepEqual(frozen("encoder.*.weight").length, 4);
    assert.throws(() => frozen("mbeddings.*"), BadInput);
  });

  it("adds up patterns", () => {
    const both = new Set(frozen("classifier", "embeddings"));
    assert.deepEqual(both, new Set([...names.slice(0, 2), ...names.slice(-2)]));
  });

  it("refuses a pattern that means nothing, with near names, and freezing everything", () => {
    assert.throws(() => frozen("embedings"), /found embedings \(did you mean embeddings/);
    assert.throws(() => frozen("encoder.layr.0"), /did you mean encoder\.layer\.0/);
    assert.throws(
      () => frozen("zzzzzzzzzz"),
      /there are bert\.embeddings, bert\.encoder, classifier/,
    );
    assert.throws(() => frozen("position_ids"), BadInput);
    assert.throws(() => frozen("*"), /all 12 parameters frozen/);
  });
});
