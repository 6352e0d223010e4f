/**
 * The number of threads that compute changes no bit, or is fixed: workers share a machine's cores out, so it would go with
 * their number.
 * Each count is a process of its own, because TensorFlow reads it when it is loaded; it computes all cases. The sizes are such that kernels do
 * divide the work.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
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

const counts = [1, 2, 3, 4, 8];
const hasBfloat16 = multipliesBfloat16(processorFeatures());
const needsBfloat16 = { skip: hasBfloat16 ? false : "this processor has no bfloat16 instructions" };

/** What is computed. */
interface Case {
  readonly configJson: string;
  readonly precision: Precision;
  readonly packed?: boolean;
}

function jobFor({ configJson, precision, packed = false }: Case): object {
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
  return job;
}

/** Hashes of gradients, state and logits of each case, computed in one process. */
async function bitsWith(threads: number, cases: readonly Case[]): Promise<readonly unknown[]> {
  const { stdout } = await run(
    process.execPath,
    ["--import", "tsx", program, bindingFile, JSON.stringify(cases.map(jobFor))],
    { env: { ...process.env, TF_NUM_INTRAOP_THREADS: String(threads) } },
  );
  const bits: readonly unknown[] = JSON.parse(stdout);
  assert.equal(bits.length, cases.length);
  return bits;
}

const cases = {
  bert: { configJson: bert, precision: "fp32" },
  packedBert: { configJson: bert, precision: "fp32", packed: true },
  resnet: { configJson: resnet, precision: "fp32" },
} as const;
const narrowCases = {
  bertInBf16: { configJson: bert, precision: "bf16" },
  packedBertInBf16: { configJson: bert, precision: "bf16", packed: true },
  resnetInBf16: { configJson: resnet, precision: "bf16" },
} as const;
const computed = { ...cases, ...(hasBfloat16 ? narrowCases : {}) };
type Name = keyof typeof cases | keyof typeof narrowCases;

describe("threads that compute", () => {
  const byCount = new Map<number, ReadonlyMap<string, unknown>>();
  before(async () => {
    for (const threads of counts) {
      const bits = await bitsWith(threads, Object.values(computed));
      byCount.set(threads, new Map(Object.keys(computed).map((name, at) => [name, bits[at]])));
    }
  });
  after(() => rmSync(cacheFolder, { recursive: true, force: true }));

  const bitsOf = (name: Name, threads: number): unknown => {
    const bits = byCount.get(threads)?.get(name);
    assert.ok(bits, `${name}, ${threads} threads`);
    return bits;
  };

  function areSame(name: Name): void {
    for (const threads of counts)
      assert.deepEqual(bitsOf(name, threads), bitsOf(name, 1), `${threads} threads`);
  }

  it("give BERT the same bits, 1, 2, 3, 4 or 8 of them", () => areSame("bert"));

  it("give BERT the same bits where sequences are packed, fp32", () => areSame("packedBert"));

  it("give BERT the same bits where sequences are packed, bf16", needsBfloat16, () =>
    areSame("packedBertInBf16"),
  );

  for (const [model, wide, narrow] of [
    ["BERT", "bert", "bertInBf16"],
    ["ResNet", "resnet", "resnetInBf16"],
  ] as const) {
    it(
      `give ${model} the same bits in bfloat16 too, which are others than float32's`,
      needsBfloat16,
      () => {
        areSame(narrow);
        assert.notDeepEqual(bitsOf(narrow, 1), bitsOf(wide, 1));
      },
    );
  }

  it("give ResNet the same bits, 1, 2, 3, 4 or 8 of them", () => {
    assert.equal(familyOf(resnet).threadsMatter, false);
    areSame("resnet");
  });

  it("are part of the job for the convolutional net, which gets the same number everywhere", async () => {
    const { threadsMatter } = familyOf(convnet);
    const given = [1, 2, 3, 8, 0].map((workersHere) =>
      threadsOf({ wanted: null, cores: 2 + workersHere, workersHere, threadsMatter }),
    );
    assert.equal(new Set(given).size, 1, given.join());
    const threads = given[0]!;
    const alone = [{ configJson: convnet, precision: "fp32" }] as const;
    assert.deepEqual(await bitsWith(threads, alone), await bitsWith(threads, alone));
  });
});
