/** Goal: records become batches: cut, padded to the smallest bucket that fits, weighted by whether they are labelled. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { SampleRecordSchema } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { createCollator } from "../../../worker/model/collators.ts";
import type { Collator } from "../../../worker/model/collator.ts";
import { createModel } from "../../../worker/model/families.ts";
import { tinyConfig, tinyVocabulary } from "../../support/tiny-bert.ts";
import { newestConvolutionTable } from "../../../foundation/convolution-table.ts";

const tokenizerFiles = new Map([
  ["vocab.txt", new TextEncoder().encode(`${tinyVocabulary.join("\n")}\n`)],
]);
const limits = { bucketLengths: [4, 8], maxLength: 8 };
const [pad, cls, sep, a] = ["[PAD]", "[CLS]", "[SEP]", "a"].map((t) => tinyVocabulary.indexOf(t));

function collatorOf(changes: Record<string, unknown>): Promise<Collator> {
  return createCollator("bert", { configJson: tinyConfig(changes), tokenizerFiles, ...limits });
}

function sample(fields: object) {
  return create(SampleRecordSchema, fields);
}

describe("a text collator", () => {
  let collator: Collator;
  before(async () => {
    collator = await collatorOf({});
  });

  it("takes the smallest bucket that holds the longest sample, and fills rows up with weight 0", () => {
    const batch = collator.collate(
      [sample({ text: "a", label: 1 }), sample({ text: "", label: 0 })],
      3,
    );
    assert.equal(batch.shapeKey, "4");
    assert.deepEqual(batch.arrays, {
      input_ids: Int32Array.from(
        [cls, a, sep, pad, cls, sep, pad, pad, pad, pad, pad, pad].map(Number),
      ),
      attention_mask: Float32Array.of(1, 1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 0),
      token_type_ids: new Int32Array(12),
      labels: Int32Array.of(1, 0, 0),
      weights: Float32Array.of(1, 1, 0),
    });
    const { samples, tokens, paddedTokens, truncated } = batch;
    assert.deepEqual(
      { samples, tokens, paddedTokens, truncated },
      {
        samples: 2,
        tokens: 5,
        paddedTokens: 12,
        truncated: 0,
      },
    );
  });

  it("cuts at the maximum length, counts what it cut, and tells a pair's texts apart", () => {
    const long = sample({ text: "a a a a a a a a a", textPair: "a", label: 0 });
    const batch = collator.collate([long, sample({ text: "a", label: 0 })], 2);
    assert.equal(batch.shapeKey, "8");
    assert.equal(batch.truncated, 1);
    const types = Int32Array.of(0, 0, 0, 0, 0, 0, 1, 1);
    assert.deepEqual(batch.arrays["token_type_ids"]!.slice(0, 8), types);
  });

  it("lays sequences one behind the other where that is asked for", async () => {
    const packing = await createCollator("bert", {
      configJson: tinyConfig({}),
      tokenizerFiles,
      ...limits,
      packed: true,
    });
    const samples = [
      sample({ text: "a", label: 1 }),
      sample({ text: "", textPair: "a", label: 0 }),
    ];
    const batch = packing.collate(samples, 3);
    assert.equal(batch.shapeKey, "packed");
    assert.deepEqual(batch.arrays, {
      // Filled up to a multiple of 16 by what is there already.
      input_ids: Int32Array.from(
        [cls, a, sep, cls, sep, a, sep, ...Array.from({ length: 9 }, () => cls)].map(Number),
      ),
      position_ids: Int32Array.from([0, 1, 2, 0, 1, 2, 3, ...new Int32Array(9)]),
      token_type_ids: Int32Array.from([0, 0, 0, 0, 0, 1, 1, ...new Int32Array(9)]),
      starts: Int32Array.of(0, 3, 0),
      ends: Int32Array.of(3, 7, 0),
      labels: Int32Array.of(1, 0, 0),
      weights: Float32Array.of(1, 1, 0),
    });
    assert.deepEqual([batch.tokens, batch.paddedTokens], [7, 16]);
  });

  it("gives an unlabelled sample no weight, and refuses a label that the model lacks", () => {
    assert.deepEqual([...collator.collate([sample({ text: "a" })], 1).arrays["weights"]!], [0]);
    assert.throws(() => collator.collate([sample({ text: "a", label: 2 })], 1), /label 2/);
    assert.throws(() => collator.collate([], 1), /0 samples/);
    assert.throws(() => collator.collate([sample({}), sample({})], 1), /2 samples into 1 rows/);
  });

  it("takes one target of a regression, and several of several labels", async () => {
    const one = await collatorOf({ num_labels: 1 });
    const targets = one.collate([sample({ text: "a", target: 0.5 }), sample({ text: "a" })], 2);
    assert.deepEqual(targets.arrays["labels"], Float32Array.of(0.5, 0));
    assert.deepEqual(targets.arrays["weights"], Float32Array.of(1, 0));
    const several = await collatorOf({ num_labels: 3, problem_type: "multi_label_classification" });
    const batch = several.collate([sample({ text: "a", targets: [1, 0, 1] })], 1);
    assert.deepEqual(batch.arrays["labels"], Float32Array.of(1, 0, 1));
    assert.throws(() => several.collate([sample({ text: "a", targets: [1] })], 1), /1 targets/);
  });
});

describe("createModel()", () => {
  const options = {
    configJson: tinyConfig(),
    microbatchSize: 2,
    evalMicrobatchSize: 2,
    bucketLengths: [8],
    maxLength: 8,
    labelSmoothing: 0,
    convolutionTable: newestConvolutionTable,
    microbatchesPerStep: 1,
  };

  it("refuses a length beyond the position table", async () => {
    await assert.rejects(createModel("bert", { ...options, bucketLengths: [33], maxLength: 33 }), {
      name: "BadInput",
      message:
        /--max-length: expected at most 32, the rows of the model's position table, found 33/,
    });
  });

  it("refuses label smoothing where there is no single label", async () => {
    const configJson = tinyConfig({ num_labels: 1 });
    await assert.rejects(createModel("bert", { ...options, configJson, labelSmoothing: 0.1 }), {
      name: "BadInput",
      message: /--label-smoothing-factor: expected 0/,
    });
  });

  it("gives examples that differ in every input, in the forms that it states", async () => {
    const model = await createModel("bert", options);
    const [first, second] = [0, 1].map((v) => model.exampleBatch("8", "train", v === 0 ? 0 : 1));
    for (const { name, shape } of model.shapes("train").get("8")!) {
      assert.equal(
        first!.arrays[name]!.length,
        shape.reduce((product, size) => product * size, 1),
      );
      assert.notDeepEqual(first!.arrays[name], second!.arrays[name], name);
    }
  });
});
