/**
 * The number of threads that compute changes no bit, or is fixed: workers share a machine's cores out, so it would go with
 * their number.
 * Each count is a process of its own, because TensorFlow reads it when it is loaded. The sizes are such that kernels do
 * divide the work.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { threadsOf } from "../../../coordinator/launch/thread-share.ts";
import { familyOf } from "../../../foundation/families/family.ts";
import {
  multipliesBfloat16,
  processorFeatures,
} from "../../../foundation/host/processor-features.ts";
import { parseJsonObject } from "../../../foundation/model-files/json-object.ts";
import { bindingUnderTest, jobOf } from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";
import type { Precision } from "../../../foundation/precision.ts";

const run = promisify(execFile);
const program = fileURLToPath(new URL("../../support/step-bits.ts", import.meta.url));
const cacheFolder = mkdtempSync(join(tmpdir(), "threads-"));
const bindingFile = await bindingUnderTest();

const bert = tinyConfig({
  vocab_size: 3000,
  hidden_size: 192,
  num_attention_heads: 6,
  intermediate_size: 768,
  max_position_embeddings: 128,
  id2label: { 0: "no", 1: "yes" },
  label2id: { no: 0, yes: 1 },
});
const convnet = JSON.stringify({
  model_type: "tiny-convnet",
  image_size: 32,
  channels: 3,
  filters: 32,
  num_labels: 10,
});

const resnet = JSON.stringify({
  model_type: "cifar-resnet",
  image_size: 32,
  hidden_sizes: [64, 128, 256, 512],
  depths: [1, 1, 1, 1],
  num_labels: 10,
});

/** Hashes of gradients, state and logits. */
async function bitsWith(
  threads: number,
  configJson: string,
  precision: Precision = "fp32",
  packed = false,
): Promise<unknown> {
  const config = parseJsonObject(configJson, "config.json");
  const family = familyOf(configJson);
  const isText = family.textLimits(config) !== null;
  const { seed: _, ...job } = jobOf({
    family: family.name,
    config,
    specs: family.tensors(config),
    microbatchSize: 8,
    evalMicrobatchSize: 8,
    packed,
    bucketLengths: isText ? [128] : [],
    maxLength: isText ? 128 : 1,
    precision,
    cacheFolder,
  });
  const { stdout } = await run(
    process.execPath,
    ["--import", "tsx", program, bindingFile, JSON.stringify(job)],
    { env: { ...process.env, TF_NUM_INTRAOP_THREADS: String(threads) } },
  );
  return JSON.parse(stdout);
}

describe("threads that compute", () => {
  after(() => rmSync(cacheFolder, { recursive: true, force: true }));

  it("give BERT the same bits, 1, 2, 3, 4 or 8 of them", async () => {
    const one = await bitsWith(1, bert);
    for (const threads of [2, 3, 4, 8]) {
      assert.deepEqual(await bitsWith(threads, bert), one, `${threads} threads`);
    }
  });

  for (const precision of ["fp32", "bf16"] as const) {
    it(`give BERT the same bits where sequences are packed, ${precision}`, async (t) => {
      if (precision === "bf16" && !multipliesBfloat16(processorFeatures())) {
        t.skip("this processor has no bfloat16 instructions");
        return;
      }
      const one = await bitsWith(1, bert, precision, true);
      for (const threads of [2, 3, 4, 8]) {
        assert.deepEqual(await bitsWith(threads, bert, precision, true), one, `${threads} threads`);
      }
    });
  }

  for (const [name, config] of Object.entries({ BERT: bert, ResNet: resnet })) {
    it(`give ${name} the same bits in bfloat16 too, which are others than float32's`, async (t) => {
      if (!multipliesBfloat16(processorFeatures())) {
        t.skip("this processor has no bfloat16 instructions");
        return;
      }
      const one = await bitsWith(1, config, "bf16");
      assert.notDeepEqual(one, await bitsWith(1, config));
      for (const threads of [2, 3, 4, 8]) {
        assert.deepEqual(await bitsWith(threads, config, "bf16"), one, `${threads} threads`);
      }
    });
  }

  it("give ResNet the same bits, 1, 2, 3, 4 or 8 of them", async () => {
    assert.equal(familyOf(resnet).threadsMatter, false);
    const one = await bitsWith(1, resnet);
    for (const threads of [2, 3, 4, 8]) {
      assert.deepEqual(await bitsWith(threads, resnet), one, `${threads} threads`);
    }
  });

  it("are part of the job for the convolutional net, which gets the same number everywhere", async () => {
    const { threadsMatter } = familyOf(convnet);
    const counts = [1, 2, 3, 8, 0].map((workersHere) =>
      threadsOf({ wanted: null, cores: 2 + workersHere, workersHere, threadsMatter }),
    );
    assert.equal(new Set(counts).size, 1, counts.join());
    const threads = counts[0]!;
    assert.deepEqual(await bitsWith(threads, convnet), await bitsWith(threads, convnet));
  });
});
