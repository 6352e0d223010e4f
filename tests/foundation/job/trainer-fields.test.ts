/** The table of TrainingArguments against the fields that transformers has, as `training_arguments.py` stored them. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { z } from "zod";
import { BadInput } from "../../../foundation/bad-input.ts";
import { parseJob } from "../../../foundation/job/parse-job.ts";
import { trainerFields } from "../../../foundation/job/trainer-fields.ts";

const file = new URL("training-arguments.json", import.meta.url);
const stored = z
  .record(z.string(), z.array(z.string()))
  .parse(JSON.parse(readFileSync(file, "utf8")));

function notesOf(name: string, value: unknown): readonly string[] {
  const text = JSON.stringify({ model: "m", train_file: "t", [name]: value });
  const context = { now: new Date(0), jobName: "j", checkpoint: null };
  return parseJob({ flags: {}, env: {}, file: { name: "job.json", text } }, context).notes;
}

describe("trainerFields", () => {
  it("has every field of transformers 4.57 and 5.x once, and no other", () => {
    const expected = new Set(Object.values(stored).flat());
    const names = trainerFields.map((field) => field.name);
    assert.deepEqual(names.toSorted(), [...expected].toSorted());
  });

  it("knows at least the three versions that it was made from", () => {
    assert.deepEqual(Object.keys(stored), ["4.57.6", "5.0.0", "5.23.0"]);
    assert.ok(Object.values(stored).every((fields) => fields.length > 90));
  });

  it("takes what asks for nothing, says what has no effect, and names the equivalent of the rest", () => {
    for (const { name, treatment } of trainerFields) {
      if (treatment.kind === "ignored") {
        assert.deepEqual(notesOf(name, "x"), [`${name} has no effect: ${treatment.because}`]);
      }
      if (treatment.kind !== "refused") continue;
      assert.deepEqual(notesOf(name, null), []);
      for (const harmless of treatment.harmless) {
        const isJson = /^(\{|\[|true$|false$|-?\d)/.test(harmless);
        assert.deepEqual(notesOf(name, isJson ? JSON.parse(harmless) : harmless), [], name);
      }
      assert.throws(
        () => notesOf(name, "surely not"),
        (error) =>
          error instanceof BadInput && error.message.includes(`instead: ${treatment.instead}`),
        name,
      );
    }
  });

  it("translates fields whose values mean a setting", () => {
    const context = { now: new Date(0), jobName: "j", checkpoint: null };
    const text = "model: m\ntrain_file: t\ntrain_sampling_strategy: random\nuse_cpu: true\n";
    const sources = { flags: {}, env: {}, file: { name: "job.yaml", text } };
    const { settings } = parseJob(sources, context);
    assert.equal(settings.groupByLength, false);
    assert.equal(settings.device, "cpu");
    assert.throws(
      () => notesOf("train_sampling_strategy", "sequential"),
      /group_by_length or random/,
    );
  });
});
