import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  describeCount,
  describeDeal,
  describeOpened,
  describePlan,
  describeStart,
} from "../../../coordinator/commands/train-text.ts";
import { parseJob, type ParsedJob } from "../../../foundation/job/parse-job.ts";
import type { Plan } from "../../../foundation/job/plan.ts";

function jobOf(flags: Record<string, string>): ParsedJob {
  const sources = { flags: { model: "m", "train-file": ["t.tsv"], ...flags }, env: {}, file: null };
  return parseJob(sources, { now: new Date(0), jobName: "trial", checkpoint: null });
}

const plan: Plan = {
  trainSize: 4076,
  stepsPerEpoch: 128,
  totalSteps: 384,
  warmupSteps: 0,
  microbatchesPerStep: 4,
  parameters: 22_700_000,
  trainedParameters: 11_350_000,
  exchangeBytesPerStep: 68_000_000,
  isScattered: false,
  weightBytesPerStep: 0,
  memoryPerWorker: {
    weights: 1e8,
    optimizer: 2e8,
    gradients: 2e8,
    activations: 5e8,
    copies: 3e8,
    runtime: 4e8,
  },
};

describe("what is said at the start", () => {
  it("says how the global batch is dealt", () => {
    const { settings } = jobOf({});
    assert.equal(describeDeal(settings, 4), "global batch 32 = 4 microbatches of 8 on 4 workers");
    assert.equal(describeDeal(settings, 1), "global batch 32 = 4 microbatches of 8 on 1 worker");
    assert.match(
      describeDeal(settings, 6),
      /on 6 workers; 2 workers will have nothing to compute$/,
    );
    const single = jobOf({ "train-batch-size": "8" }).settings;
    assert.match(describeDeal(single, 1), /= 1 microbatch of 8 /);
  });

  it("names job, model, data, device, workers and output, and warns of too many workers", () => {
    const job = jobOf({ workers: "4", "output-dir": "out" });
    const text = describeStart({ ...job, isQuickstart: false, cores: 2 }).join("\n");
    for (const part of [
      "trial",
      "m",
      "t.tsv",
      "cpu, 2 cores",
      "more than the 2 cores here",
      "out",
    ]) {
      assert.ok(text.includes(part), part);
    }
    assert.doesNotMatch(text, /your own/);
  });

  it("says how to give one's own job when it is the quick start", () => {
    const job = jobOf({});
    const text = describeStart({ ...job, isQuickstart: true, cores: 2 }).join("\n");
    assert.match(text, /built-in quick start/);
    assert.match(text, /your own: coordinator --model/);
  });

  it("says what is known once model and data are open", () => {
    const input = { plan, validationSize: 1725, maxLength: 128 };
    const text = describeOpened(input).join("\n");
    assert.match(text, /4,076 to train on, 1,725 to evaluate$/m);
    assert.match(text, /22\.7 M parameters, 11\.3 M of them trained; sequences up to 128 tokens/);
    assert.match(text, /384 in all, 128 an epoch/);
    assert.match(describeOpened({ ...input, validationSize: null }).join("\n"), /none to evaluate/);
  });

  it("prints memory and bytes for a dry run", () => {
    const text = describePlan(plan, 4).join("\n");
    assert.match(text, /at most 68 MB sent by each of 4 workers a step: 2·K·\(N−1\)\/N$/m);
    const sharing = { ...plan, isScattered: true, weightBytesPerStep: 17_000_000 };
    const shared = describePlan(sharing, 4).join("\n");
    assert.match(
      shared,
      /at most 68 MB sent by each of 4 workers a step: K·\(N−1\)\/N, and 17 MB of weights: 4·P·\(N−1\)\/N$/m,
    );
    assert.match(
      text,
      /about 1\.7 GB a worker at its peak: weights 100 MB, optimiser 200 MB, gradients 200 MB, activations about 500 MB at the longest, copies of the state 300 MB, TensorFlow and Node 400 MB/,
    );
  });
});

describe("describeCount", () => {
  it("groups digits, and counts millions", () => {
    assert.deepEqual([0, 999, 1000, 12_345, 999_949, 999_950, 109_483_778].map(describeCount), [
      "0",
      "999",
      "1,000",
      "12,345",
      "999,949",
      "1.0 M",
      "109 M",
    ]);
  });
});
