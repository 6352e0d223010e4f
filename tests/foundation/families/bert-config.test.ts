/** Goal: every field of BERT's config that decides a result is honoured or refused by name; the others are not looked at. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseBertConfig } from "../../../foundation/families/bert-config.ts";
import { placeBertTensor } from "../../../foundation/families/bert.ts";

describe("parseBertConfig()", () => {
  it("has transformers' defaults", () => {
    assert.deepEqual(parseBertConfig({}), {
      vocabSize: 30522,
      hiddenSize: 768,
      layerCount: 12,
      headCount: 12,
      intermediateSize: 3072,
      hiddenAct: "gelu",
      hiddenDropout: 0.1,
      attentionDropout: 0.1,
      classifierDropout: 0.1,
      maxPositions: 512,
      typeVocabSize: 2,
      initializerRange: 0.02,
      layerNormEpsilon: 1e-12,
      padTokenId: 0,
      labels: ["LABEL_0", "LABEL_1"],
      problemType: "single_label_classification",
      lastLayerWhole: false,
    });
  });

  it("takes labels from id2label, else from num_labels; one label is a regression", () => {
    const labels = (config: object) => parseBertConfig(config).labels;
    assert.deepEqual(labels({ id2label: { 1: "b", 0: "a" } }), ["a", "b"]);
    assert.deepEqual(labels({ id2label: { 0: "a", 1: "b" }, num_labels: 3 }), ["a", "b"]);
    assert.deepEqual(labels({ num_labels: 3 }), ["LABEL_0", "LABEL_1", "LABEL_2"]);
    assert.equal(parseBertConfig({ num_labels: 1 }).problemType, "regression");
    const stated = parseBertConfig({ num_labels: 3, problem_type: "multi_label_classification" });
    assert.equal(stated.problemType, "multi_label_classification");
  });

  it("drops the classifier's input as much as hidden states unless told otherwise", () => {
    const rate = (config: object) => parseBertConfig(config).classifierDropout;
    assert.equal(rate({ hidden_dropout_prob: 0.3 }), 0.3);
    assert.equal(rate({ hidden_dropout_prob: 0.3, classifier_dropout: null }), 0.3);
    assert.equal(rate({ hidden_dropout_prob: 0.3, classifier_dropout: 0 }), 0);
  });

  it("does not look at fields that change no result", () => {
    const fields = {
      use_cache: true,
      gradient_checkpointing: true,
      output_attentions: true,
      chunk_size_feed_forward: 4,
      _name_or_path: "x",
      transformers_version: "4.8.2",
      something_new: { a: [1] },
    };
    assert.deepEqual(parseBertConfig(fields), parseBertConfig({}));
  });

  const refused: [object, RegExp][] = [
    [{ hidden_act: "mish" }, /column hidden_act: expected one of gelu, .*found "mish"/],
    [
      { position_embedding_type: "relative_key" },
      /column position_embedding_type: expected "absolute" .*found "relative_key"/,
    ],
    [{ is_decoder: true }, /column is_decoder: expected false .*found true/],
    [{ add_cross_attention: true }, /column add_cross_attention: expected false/],
    [{ pruned_heads: { 1: [0] } }, /column pruned_heads: expected no pruned heads/],
    [{ quantization_config: {} }, /column quantization_config: expected no quantised weights/],
    [{ hidden_dropout_prob: 1 }, /column hidden_dropout_prob: .*found 1/],
    [{ attention_probs_dropout_prob: -0.1 }, /column attention_probs_dropout_prob/],
    [{ classifier_dropout: "0.1" }, /column classifier_dropout: expected number, found "0.1"/],
    [{ layer_norm_eps: 0 }, /column layer_norm_eps/],
    [{ hidden_size: 10, num_attention_heads: 3 }, /hidden_size: expected a multiple .*found 10/],
    [{ num_hidden_layers: 0 }, /column num_hidden_layers/],
    [{ vocab_size: 1.5 }, /column vocab_size/],
    [{ pad_token_id: 30522 }, /column pad_token_id: expected a number below vocab_size/],
    [{ id2label: { 0: "a", 2: "b" } }, /column id2label: .*without a gap as keys, found 0, 2/],
    [{ id2label: { a: "0" } }, /column id2label/],
    [{ id2label: {} }, /column id2label/],
    [{ problem_type: "ranking" }, /column problem_type: expected one of .*found "ranking"/],
  ];
  for (const [config, message] of refused) {
    it(`refuses ${JSON.stringify(config)}`, () => {
      assert.throws(() => parseBertConfig(config, "x/config.json"), { name: "BadInput", message });
      assert.throws(() => parseBertConfig(config, "x/config.json"), /^BadInput: x\/config\.json/);
    });
  }
});

describe("placeBertTensor()", () => {
  it("finds a tensor under its old and its new name, with and without prefix", () => {
    const layer = "encoder.layer.3.output.LayerNorm";
    for (const stored of [`${layer}.weight`, `bert.${layer}.weight`, `bert.${layer}.gamma`]) {
      assert.deepEqual(placeBertTensor(stored), { kind: "tensor", name: `bert.${layer}.weight` });
    }
    assert.deepEqual(placeBertTensor("classifier.bias"), {
      kind: "tensor",
      name: "classifier.bias",
    });
  });

  it("tells other heads and what holds nothing", () => {
    assert.deepEqual(placeBertTensor("cls.predictions.bias"), { kind: "unused", part: "cls.*" });
    assert.deepEqual(placeBertTensor("qa_outputs.weight"), {
      kind: "unused",
      part: "qa_outputs.*",
    });
    assert.deepEqual(placeBertTensor("bert.embeddings.position_ids"), { kind: "ignored" });
  });
});
