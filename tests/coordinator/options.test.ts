import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { normalizeArguments } from "../../coordinator/arguments.ts";
import { parseArguments, type Invocation } from "../../coordinator/options.ts";
import { booleanFlags } from "../../coordinator/train-flags.ts";
import { BadInput } from "../../foundation/bad-input.ts";
import { kebabCase } from "../../foundation/job/setting.ts";
import { settingKeys } from "../../foundation/job/settings-schema.ts";

function parsed(...args: string[]): { invocation: Invocation | null; help: string } {
  let help = "";
  const output = { write: (text: string) => void (help += text), columns: 120 };
  const normal = normalizeArguments(args, booleanFlags());
  return { invocation: parseArguments(normal, "1.2.3", output), help };
}

function refusal(...args: string[]): string {
  try {
    parsed(...args);
  } catch (error) {
    assert.ok(error instanceof BadInput, String(error));
    return error.message;
  }
  return assert.fail("the arguments were accepted");
}

describe("parseArguments", () => {
  it("trains without a command, with flags as they were given", () => {
    const { invocation } = parsed("--workers", "4", "--no-group-by-length", "--freeze", "a", "b");
    assert.deepEqual(invocation, {
      command: "train",
      operands: [],
      flags: { workers: "4", "group-by-length": "false", freeze: ["a", "b"] },
    });
  });

  it("takes a job file with and without the command", () => {
    for (const words of [
      ["jobs/a.yaml", "--dry-run"],
      ["train", "jobs/a.yaml", "--dry-run"],
    ]) {
      assert.deepEqual(parsed(...words).invocation, {
        command: "train",
        operands: ["jobs/a.yaml"],
        flags: { "dry-run": "true" },
      });
    }
  });

  it("takes negative numbers, older names and fields of transformers", () => {
    const { invocation } = parsed(
      "--max-steps",
      "-1",
      "--evaluation_strategy",
      "no",
      "--report_to",
      "none",
    );
    assert.deepEqual(invocation?.flags, {
      "max-steps": "-1",
      "evaluation-strategy": "no",
      "report-to": "none",
    });
  });

  it("hands the other commands their words and flags", () => {
    assert.deepEqual(parsed("predict", "a text", "--model", "m", "--format", "jsonl").invocation, {
      command: "predict",
      operands: ["a text"],
      flags: { model: "m", format: "jsonl" },
    });
    assert.deepEqual(parsed("control", "set-learning-rate", "1e-5").invocation?.operands, [
      "set-learning-rate",
      "1e-5",
    ]);
  });

  it("shows every setting in its help, under its heading, and the version", () => {
    for (const words of [["--help"], ["train", "--help"]]) {
      const { invocation, help } = parsed(...words);
      assert.equal(invocation, null);
      for (const key of settingKeys) assert.ok(help.includes(`--${kebabCase(key)}`), key);
      assert.match(help, /Batches and length:\n/);
      assert.match(help, /column of the second text/);
    }
    assert.match(parsed("--version").help, /1\.2\.3/);
  });

  it("refuses what it does not know, with the nearest spelling", () => {
    assert.match(refusal("--worker", "3"), /found --worker \(did you mean --workers\?\)/);
    assert.match(refusal("--learning_rte", "3"), /did you mean --learning-rate\?/);
    assert.match(refusal("predict", "--model", "m", "--formt", "x"), /did you mean --format\?/);
    assert.match(refusal("predcit", "x"), /found predcit \(did you mean predict\?\)/);
    assert.match(refusal("--zzzzzzzzzzzz"), /--help lists them/);
    assert.match(
      refusal("train", "a.yaml", "b.yaml"),
      /expected no further argument, found b\.yaml/,
    );
    assert.match(refusal("--workers"), /--workers: expected a value, found none/);
    assert.match(refusal("control"), /argument verb/);
    assert.match(refusal("predict", "x"), /--model/);
  });
});
