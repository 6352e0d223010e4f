import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { newestConvolutionTable } from "../../../foundation/convolution-table.ts";
import { BadInput } from "../../../foundation/bad-input.ts";
import { parseJob, type JobContext, type ParsedJob } from "../../../foundation/job/parse-job.ts";
import { writeJob } from "../../../foundation/job/write-job.ts";

interface Given {
  readonly flags?: Record<string, unknown>;
  readonly env?: NodeJS.ProcessEnv;
  readonly file?: string;
  readonly checkpoint?: string;
}

const data = { model: "some/model", "train-file": ["train.tsv"] };

function parse(given: Given, jobName: string | null = "trial"): ParsedJob {
  const { flags = {}, env = {}, file, checkpoint } = given;
  const context: JobContext = {
    now: new Date(Date.UTC(2026, 10, 24, 7, 5, 9)),
    jobName,
    checkpoint:
      checkpoint === undefined
        ? null
        : { name: "runs/a/checkpoint-8/job.yaml", text: checkpoint, outputDir: "runs/a" },
  };
  const named = file === undefined ? null : { name: "job.yaml", text: file };
  return parseJob({ flags, env, file: named }, context);
}

function refusal(given: Given): string {
  try {
    parse(given);
  } catch (error) {
    assert.ok(error instanceof BadInput, String(error));
    return error.message;
  }
  return assert.fail("the job was accepted");
}

describe("the layers of a job", () => {
  it("takes flags over environment over file over defaults", () => {
    const file = "model: a\ntrain-file: a.tsv\nlearning-rate: 1e-5\nseed: 1\nweight_decay: 0.1\n";
    const env = { RINGMASTER_SEED: "2", RINGMASTER_LEARNING_RATE: "2e-5" };
    const { settings } = parse({ flags: { "learning-rate": "3e-5" }, env, file });
    assert.equal(settings.learningRate, 3e-5);
    assert.equal(settings.seed, 2);
    assert.equal(settings.weightDecay, 0.1);
    assert.equal(settings.trainBatchSize, 32);
  });

  it("reads JSON, names in snake_case, older names, and lists with commas from the environment", () => {
    const file = JSON.stringify({
      model_name_or_path: "m",
      train_file: ["a", "b"],
      evaluation_strategy: "no",
    });
    const { settings } = parse({
      file,
      env: { RINGMASTER_FREEZE: "embeddings, encoder.layer.0-3" },
    });
    assert.deepEqual(settings.data.trainFiles, ["a", "b"]);
    assert.equal(settings.model, "m");
    assert.equal(settings.evalStrategy, "no");
    assert.deepEqual(settings.freeze, ["embeddings", "encoder.layer.0-3"]);
  });

  it("lets files of a higher layer take a dataset's place, and the other way round", () => {
    const files = parse({ file: "model: m\ndataset: glue/mrpc\n", flags: { "train-file": ["x"] } });
    assert.equal(files.settings.data.dataset, null);
    const file = "model: m\ntrain-file: x\nvalidation-file: y\n";
    const dataset = parse({ file, flags: { dataset: "glue/sst2" } });
    assert.deepEqual(dataset.settings.data.trainFiles, []);
    assert.deepEqual(dataset.settings.data.validationFiles, []);
  });

  it("derives what is not given", () => {
    const { settings, launch } = parse({ flags: { ...data, "logging-steps": "25" } });
    assert.equal(settings.outputDir, "runs/trial-20261124-070509");
    assert.equal(settings.evalSteps, 25);
    assert.equal(settings.greaterIsBetter, false);
    assert.equal(launch.listen, "127.0.0.1:0");
    const named = parse({ flags: { model: "m", dataset: "glue/mrpc" } }, null).settings;
    assert.equal(named.job, "mrpc");
    const accuracy = parse({ flags: { ...data, "metric-for-best-model": "eval_f1" } }).settings;
    assert.equal(accuracy.metricForBestModel, "f1");
    assert.equal(accuracy.greaterIsBetter, true);
  });

  it("watches a plateau in the direction of the metric", () => {
    const flags = { ...data, "lr-scheduler-type": "reduce_lr_on_plateau" };
    assert.deepEqual(parse({ flags }).settings.lrSchedulerKwargs, {});
    const upwards = parse({ flags: { ...flags, "metric-for-best-model": "accuracy" } });
    assert.deepEqual(upwards.settings.lrSchedulerKwargs, { mode: "max" });
  });
});

describe("job.yaml", () => {
  it("parses back to the same job, without secrets", () => {
    const flags = {
      ...data,
      "lr-scheduler-type": "polynomial",
      "lr-scheduler-kwargs": '{"power": 2}',
      freeze: ["embeddings", "*.bias", "a: b #c"],
      "run-name": "007",
      "eval-steps": "0.1",
      "early-stopping-patience": "3",
      "label-column": "null",
      workers: "4",
      "join-token": "a-long-enough-secret",
      nats: "nats://me:secret@host:4222",
    };
    const job = parse({ flags });
    const text = writeJob(job.settings, job.launch);
    assert.doesNotMatch(text, /secret/);
    const again = parse({ file: text }, null);
    assert.deepEqual(again.settings, job.settings);
    const nats = "nats://host:4222";
    assert.deepEqual(again.launch, { ...job.launch, joinToken: null, nats });
  });
});

describe("a resumed run", () => {
  const job = parse({ flags: { ...data, "train-batch-size": "64", workers: "2" } });
  const checkpoint = writeJob(job.settings, job.launch);

  it("takes its settings from the checkpoint, into the checkpoint's output folder", () => {
    const { settings, launch } = parse({ checkpoint, flags: { workers: "3" } });
    assert.equal(settings.trainBatchSize, 64);
    assert.equal(settings.outputDir, "runs/a");
    assert.equal(launch.workers, 3);
  });

  it("refuses what decides the weights, says what may change, and takes the rest", () => {
    assert.match(
      refusal({ checkpoint, flags: { "train-batch-size": "32" } }),
      /--train-batch-size: expected the checkpoint's 64, or nothing, when resuming, found 32/,
    );
    assert.match(refusal({ checkpoint, env: { RINGMASTER_SEED: "1" } }), /^RINGMASTER_SEED: /);
    const { notes } = parse({
      checkpoint,
      flags: { "num-train-epochs": "5", "logging-steps": "1", "train-batch-size": "64" },
    });
    assert.deepEqual(notes, ["num-train-epochs is now 5; the checkpoint had 3"]);
  });

  it("keeps the convolution table that it began with, whatever is newest now", () => {
    assert.equal(job.settings.convolutionTable, newestConvolutionTable);
    assert.match(checkpoint, new RegExp(`^convolution-table: ${newestConvolutionTable}$`, "mu"));
    const older = checkpoint.replace(/^convolution-table: \d+$/mu, "convolution-table: 1");
    const { settings, launch } = parse({ checkpoint: older });
    assert.equal(settings.convolutionTable, 1);
    // And hands it on to its own checkpoints.
    assert.match(writeJob(settings, launch), /^convolution-table: 1$/mu);
    assert.match(
      refusal({ checkpoint: older, flags: { "convolution-table": "2" } }),
      /--convolution-table: expected the checkpoint's 1, or nothing/u,
    );
    const unknown = checkpoint.replace(/^convolution-table: \d+$/mu, "convolution-table: 99");
    assert.match(refusal({ checkpoint: unknown }), /expected a version from 1 to 2/u);
  });
});

describe("a wrong job", () => {
  const rows: readonly (readonly [Given, RegExp])[] = [
    [
      { flags: { lerning_rate: "1" } },
      /expected a known key, found lerning_rate \(did you mean learning-rate\?\)/,
    ],
    [{ file: "model: m\nlearning_rte: 1" }, /job\.yaml, line 2: .*did you mean learning-rate\?/],
    [
      { file: "model: m\n__proto__: {}" },
      /job\.yaml, line 2: expected a known key, found __proto__/,
    ],
    [
      { file: '{"model": "m",\n"__proto__": 1}' },
      /job\.yaml, line 2: expected a known key, found __proto__/,
    ],
    [{ file: "lr-scheduler-kwargs: {__proto__: 1}" }, /line 1: expected a mapping/],
    [{ flags: { ...data, "lr-scheduler-kwargs": '{"__proto__": 1}' } }, /expected a mapping/],
    [{ file: "seed: 1\nSEED: 2" }, /line 2: expected a known key/],
    [
      { file: "train-batch-size: 8\ntrain_batch_size: 8" },
      /line 2: expected train-batch-size once/,
    ],
    [
      { file: "seed: 1\nseed: 2" },
      /line 2: expected valid YAML or JSON, found Map keys must be unique/,
    ],
    [{ file: "model: [a" }, /job\.yaml, line 1: expected valid YAML or JSON/],
    [{ file: "- model" }, /job\.yaml: expected keys and values/],
    [{ file: "" }, /found an empty file/],
    [{ file: "model: &m x\nrun-name: *m" }, /line 2: expected plain values/],
    [{ file: `model: ${"[".repeat(20_000)}` }, /expected/],
    [
      { env: { RINGMASTER_WORKERS: "many" } },
      /RINGMASTER_WORKERS: expected a whole number from 1 to 1024, found many/,
    ],
    [
      { flags: { ...data, "train-batch-size": "30" } },
      /multiple of the microbatch, 8 .* found 30 \(such as 24 or 32\)/,
    ],
    [
      { flags: { ...data, "gradient-accumulation-steps": "3" } },
      /expected 4, .* found 3 .*--train-batch-size 24/,
    ],
    [{ flags: { "train-file": ["a"] } }, /--model: expected a folder or a hub id/],
    [{ flags: { model: "m" } }, /--train-file: expected training data/],
    [
      { flags: { ...data, dataset: "glue/mrpc" } },
      /expected a dataset or training files, found both/,
    ],
    [
      { flags: { ...data, "validation-file": ["v"], "validation-split": "0.1" } },
      /validation file or a split/,
    ],
    [
      { flags: { ...data, "load-best-model-at-end": "true", "eval-strategy": "no" } },
      /--eval-strategy steps or epoch/,
    ],
    [
      { flags: { ...data, "load-best-model-at-end": "true", "save-strategy": "steps" } },
      /same --save-strategy/,
    ],
    [
      {
        flags: {
          ...data,
          "load-best-model-at-end": "true",
          "save-strategy": "steps",
          "eval-strategy": "steps",
          "eval-steps": "30",
        },
      },
      /--save-steps: expected a multiple of --eval-steps 30/,
    ],
    [
      { flags: { ...data, "lr-scheduler-type": "cosin" } },
      /expected one of linear, cosine, .* found cosin/,
    ],
    [
      { flags: { ...data, "lr-scheduler-kwargs": '{"power": 2}' } },
      /expected no values with linear, found power/,
    ],
    [
      {
        flags: {
          ...data,
          "lr-scheduler-type": "cosine",
          "lr-scheduler-kwargs": '{"num_cycle": 2}',
        },
      },
      /did you mean num_cycles\?/,
    ],
    [{ flags: { ...data, "lr-scheduler-type": "cosine_with_min_lr" } }, /min_lr or min_lr_rate/],
    [{ flags: { ...data, "lr-scheduler-type": "warmup_stable_decay" } }, /num_decay_steps/],
    [
      { flags: { ...data, "lr-scheduler-type": "polynomial", "learning-rate": "1e-8" } },
      /lr_end below --learning-rate/,
    ],
    [{ flags: { ...data, "max-steps": "0" } }, /-1 for none, found 0/],
    [{ flags: { ...data, "eval-steps": "2.5" } }, /a share of all steps below 1, found 2\.5/],
    [{ flags: { ...data, listen: "somewhere" } }, /expected host:port/],
    [{ flags: { ...data, listen: "localhost:70000" } }, /expected host:port/],
    [{ flags: { ...data, nats: "http://x" } }, /nats:\/\/host:4222/],
    [{ flags: { ...data, "spawn-workers": "false" } }, /set RINGMASTER_JOIN_TOKEN/],
    [{ flags: { ...data, "group-by-length": "perhaps" } }, /expected true or false, found perhaps/],
  ];
  for (const [given, expected] of rows) {
    it(`is refused: ${JSON.stringify(given).slice(0, 100)}`, () => {
      assert.match(refusal(given), expected);
    });
  }

  it("never repeats a secret", () => {
    assert.doesNotMatch(refusal({ flags: { ...data, "join-token": "hunter2" } }), /hunter2/);
  });

  it("refuses numbers that are none, everywhere", () => {
    for (const text of ["NaN", "nan", "Infinity", "-1", "1e999", "0x10", "1,5", "", "two"]) {
      assert.match(
        refusal({ flags: { ...data, "learning-rate": text } }),
        /--learning-rate: expected/,
      );
    }
    for (const text of ["0", "-1", "1e9", "two", "1.5", "NaN"]) {
      assert.match(
        refusal({ flags: { ...data, workers: text } }),
        /--workers: expected a whole number/,
      );
    }
  });
});
