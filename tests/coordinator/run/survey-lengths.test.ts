/**
 * Goal: lengths that are compiled fit the data, and little of what is computed is padding. Method: the tiny model's
 * tokenizer, one token a letter, on texts whose tokens are known; MRPC's pairs with MiniLM's.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { planEpoch } from "../../../coordinator/data/sampler.ts";
import { ensureQuickstart } from "../../../coordinator/quickstart/quickstart.ts";
import { surveyLengths, type LengthSurvey } from "../../../coordinator/run/survey-lengths.ts";
import { parseJob } from "../../../foundation/job/parse-job.ts";
import type { JobSettings } from "../../../foundation/job/settings.ts";
import { createProgressSink } from "../../../foundation/native/progress.ts";
import { openTextTokenizer } from "../../../foundation/tokenizer/text-tokenizer.ts";
import { DataFolder, never, readAll } from "../data/support/data-folder.ts";
import { tinyVocabulary } from "../../support/tiny-bert.ts";

const root = fileURLToPath(new URL("../../..", import.meta.url));
const mrpc = join(process.env["RINGMASTER_TEST_DATA"] ?? join(root, "../shared/data"), "mrpc");

function settingsWith(flags: Readonly<Record<string, unknown>>): JobSettings {
  const given = { model: "m", "train-file": "t", ...flags };
  const context = { now: new Date(0), jobName: null, checkpoint: null };
  return parseJob({ flags: given, env: {}, file: null }, context).settings;
}

const tinyModel = {
  family: "bert",
  tokenizerFiles: new Map([["vocab.txt", new TextEncoder().encode(tinyVocabulary.join("\n"))]]),
};

describe("surveyLengths", () => {
  let folder: DataFolder;
  before(async () => {
    folder = await DataFolder.create();
  });
  after(() => folder.remove());

  async function survey(
    texts: readonly string[],
    flags: Readonly<Record<string, unknown>>,
  ): Promise<LengthSurvey> {
    const rows = texts.map((text, index) => `${text}\t${index % 2}`);
    const { data } = await folder.train("t.tsv", `text\tlabel\n${rows.join("\n")}\n`);
    const settings = settingsWith(flags);
    return surveyLengths(data.train!, { settings, model: tinyModel, maxLength: 32, signal: never });
  }

  it("measures small data whole, and compiles what fits it", async () => {
    const texts = Array.from({ length: 64 }, (_, index) =>
      index % 2 === 0 ? "a b" : "abcdefghij",
    );
    const { train, bucketLengths, paddingShare } = await survey(texts, { padding: "bucket" });
    assert.deepEqual([train.lengthOf(0), train.lengthOf(1)], [4, 12]);
    assert.deepEqual(bucketLengths, [8, 16, 32]);
    // Every second sample is a third as long; microbatches of both kinds are few.
    assert.ok(paddingShare >= 1 - 8 / 12 && paddingShare < 0.45, `${paddingShare}`);
  });

  it("keeps lengths that are given, and takes one for --padding max_length", async () => {
    const given = await survey(["a", "b"], { "bucket-lengths": ["10", "32"] });
    assert.deepEqual(given.bucketLengths, [10, 32]);
    const fixed = await survey(["a", "b"], { padding: "max_length" });
    assert.deepEqual(fixed.bucketLengths, [32]);
    const packed = await survey(["a", "abcdefghij"], {});
    assert.deepEqual([packed.bucketLengths, packed.paddingShare], [[32], 0]);
    const eager = await survey(["a", "abcdefghij"], { eager: "true" });
    assert.deepEqual(eager.bucketLengths, [16, 32], "has no kernels for what is not padded");
  });

  it("samples large data, the same for every seed", async () => {
    const texts = Array.from({ length: 30_000 }, (_, index) => "ab ".repeat(1 + (index % 19)));
    const first = await survey(texts, { seed: 1, padding: "bucket" });
    const { data } = await folder.train("u.tsv", "text\tlabel\na b c d\t0\nb\t1\n");
    assert.equal(data.train!.lengthOf(0), 4);
    assert.equal(first.train.lengthOf(18), 19, "an estimate: words, not tokens");
    assert.deepEqual(
      (await survey(texts, { seed: 2, padding: "bucket" })).bucketLengths,
      first.bucketLengths,
    );
    assert.equal(first.bucketLengths.at(-1), 32);
    assert.ok(first.bucketLengths.length > 2 && first.paddingShare < 0.2);
  });

  it("leaves little padding on MRPC", { skip: !existsSync(mrpc) && "no MRPC" }, async () => {
    const now = () => performance.now();
    const progress = createProgressSink({ output: process.stderr, isTerminal: false, now });
    const { modelFolder } = await ensureQuickstart({ env: process.env, progress, signal: never });
    const file = (name: string) => [name, readFileSync(join(modelFolder, name))] as const;
    const tokenizerFiles = new Map([file("tokenizer.json"), file("tokenizer_config.json")]);
    const model = { family: "bert", tokenizerFiles };
    const { train } = await folder.open({ trainFiles: [join(mrpc, "msr_paraphrase_train.txt")] });
    const tokenizer = openTextTokenizer(tokenizerFiles, { folder: "model", modelType: "bert" });
    const records = await readAll(train!);
    const lengths = records.map(
      ({ text, textPair }) => tokenizer.encode(text, textPair, 128).ids.length,
    );
    const computedPerPair = async (flags: Readonly<Record<string, unknown>>): Promise<number> => {
      const settings = settingsWith(flags);
      const options = { settings, model, maxLength: 128, signal: never };
      const { train: known, bucketLengths } = await surveyLengths(train!, options);
      const plan = planEpoch({
        ...settings,
        size: known.size,
        epoch: 1,
        microbatchSize: settings.perDeviceTrainBatchSize,
        ...(settings.groupByLength ? { lengthOf: (index: number) => known.lengthOf(index) } : {}),
      });
      let computed = 0;
      for (let batch = 0; batch < plan.batchCount; batch++) {
        for (const microbatch of plan.batch(batch)) {
          const longest = Math.max(...microbatch.map((index) => lengths[index] ?? 0));
          const padded = bucketLengths.find((length) => length >= longest) ?? Number.NaN;
          computed += padded * settings.perDeviceTrainBatchSize;
        }
      }
      return computed / known.size;
    };
    const grouped = await computedPerPair({ padding: "bucket" });
    const random = await computedPerPair({ padding: "bucket", "group-by-length": "false" });
    const whole = await computedPerPair({ padding: "max_length" });
    process.stderr.write(`MRPC: ${grouped} grouped, ${random} random, ${whole} padded\n`);
    // 53.2 are real; the last microbatch has rows of padding.
    assert.ok(grouped < 60 && random < 85 && whole > 127, `${grouped}, ${random}, ${whole}`);
  });
});
