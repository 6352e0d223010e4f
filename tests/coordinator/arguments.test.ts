import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { normalizeArguments } from "../../coordinator/arguments.ts";
import { booleanFlags } from "../../coordinator/train-flags.ts";

function normalized(...given: string[]): string[] {
  return normalizeArguments(given, booleanFlags());
}

describe("normalizeArguments", () => {
  it("writes flags in kebab-case and leaves values alone", () => {
    assert.deepEqual(normalized("--learning_rate", "1e-4", "--run_name=a_b", "my_job.yaml"), [
      "--learning-rate",
      "1e-4",
      "--run-name=a_b",
      "my_job.yaml",
    ]);
  });

  it("understands booleans as transformers' scripts write them", () => {
    assert.deepEqual(normalized("--group_by_length", "False", "job.yaml"), [
      "--no-group-by-length",
      "job.yaml",
    ]);
    assert.deepEqual(normalized("--eager", "job.yaml"), ["--eager", "job.yaml"]);
    assert.deepEqual(normalized("--no-eager=false"), ["--eager"]);
    assert.deepEqual(normalized("--no_group_by_length"), ["--no-group-by-length"]);
    assert.deepEqual(normalized("--fp16_full_eval", "job.yaml"), [
      "--fp16-full-eval=true",
      "job.yaml",
    ]);
    assert.deepEqual(normalized("--no_dataloader_pin_memory"), ["--dataloader-pin-memory=false"]);
  });

  it("refuses a boolean that is neither", () => {
    assert.throws(
      () => normalized("--eager=perhaps"),
      /--eager: expected true or false, found perhaps/,
    );
  });

  it("leaves everything after -- alone", () => {
    assert.deepEqual(normalized("predict", "--", "--eager", "false", "a_b"), [
      "predict",
      "--",
      "--eager",
      "false",
      "a_b",
    ]);
  });
});
