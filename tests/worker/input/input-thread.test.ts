import assert from "node:assert/strict";
import { after, describe, it } from "node:test";
import { create } from "@bufbuild/protobuf";
import { BadInput } from "../../../foundation/bad-input.ts";
import { SampleRecordSchema, type SampleRecord } from "../../../proto/gen/ringmaster/v1/run_pb.ts";
import { startInputThread, type InputThread } from "../../../worker/input/input-thread.ts";
import type { InputSettings } from "../../../worker/input/input-messages.ts";

const words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "the", "ring", "master", "turns"];
const config = {
  model_type: "bert",
  architectures: ["BertForSequenceClassification"],
  vocab_size: words.length,
  hidden_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  intermediate_size: 16,
  max_position_embeddings: 16,
  type_vocab_size: 2,
  hidden_act: "gelu",
  id2label: { 0: "no", 1: "yes" },
  label2id: { no: 0, yes: 1 },
  pad_token_id: 0,
};

const settings: InputSettings = {
  family: "bert",
  configJson: JSON.stringify(config),
  tokenizerFiles: new Map([["vocab.txt", Buffer.from(`${words.join("\n")}\n`)]]),
  bucketLengths: [4, 8],
  maxLength: 8,
};

function sample(text: string, label: number): SampleRecord {
  return create(SampleRecordSchema, { text, label });
}

const threads: InputThread[] = [];
after(async () => {
  for (const thread of threads) await thread.close();
});

describe("input thread", () => {
  it("tokenises and collates, in the order of asking", async () => {
    const thread = await startInputThread(settings);
    threads.push(thread);
    const [long, short] = await Promise.all([
      thread.collate([sample("the ring master turns", 1), sample("turns", 0)], 3),
      thread.collate([sample("ring", 0)], 3),
    ]);
    assert.equal(long.shapeKey, "8");
    assert.deepEqual(
      Array.from(long.arrays["input_ids"]!.subarray(0, 16)),
      [2, 5, 6, 7, 8, 3, 0, 0, 2, 8, 3, 0, 0, 0, 0, 0],
    );
    assert.deepEqual([long.samples, long.tokens, long.paddedTokens, long.truncated], [2, 9, 24, 0]);
    assert.equal(short.shapeKey, "4");
  });

  it("tells what cannot be collated, and goes on", async () => {
    const thread = await startInputThread(settings);
    threads.push(thread);
    const refused = thread.collate([sample("the", 7)], 1);
    const fine = thread.collate([sample("the", 1)], 1);
    await assert.rejects(refused, /label 7/);
    assert.equal((await fine).samples, 1);
  });

  it("does not start with a config that is not supported", async () => {
    const configJson = JSON.stringify({ ...config, hidden_act: "no-such-function" });
    await assert.rejects(startInputThread({ ...settings, configJson }), BadInput);
  });

  it("rejects what is under way when it is closed", async () => {
    const thread = await startInputThread(settings);
    // A text that takes far longer to tokenise than a thread to end.
    const pending = thread.collate([sample("the ".repeat(500_000), 1)], 1);
    const rejected = assert.rejects(pending, /has ended/);
    await thread.close();
    await rejected;
    await assert.rejects(thread.collate([], 1), /has ended/);
  });
});
