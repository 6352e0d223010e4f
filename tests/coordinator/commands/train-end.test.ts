import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { describeEnd } from "../../../coordinator/commands/train-end.ts";
import type { RunOutcome } from "../../../coordinator/run/run-outcome.ts";

const completed: RunOutcome = {
  kind: "completed",
  exitCode: 0,
  reason: "all steps are done",
  outputDir: "runs/it's",
  modelFolder: "runs/it's",
  checkpoint: "runs/it's/checkpoint-4",
  step: 4,
  evaluations: [
    { step: 2, epoch: 1, split: "validation", metrics: { loss: 0.5, accuracy: 0.75 } },
    { step: 4, epoch: 2, split: "validation", metrics: { loss: 0.25, accuracy: 0.875 } },
  ],
  profile: null,
  lengths: { truncated: 0.034, padding: 0.104, maxLength: 128 },
};
const next = { example: "a text", examplePair: null, isQuickstart: true };

describe("describeEnd", () => {
  it("shows the evaluations, the model and three commands that a shell takes", () => {
    const text = describeEnd(completed, next).join("\n");
    assert.match(text, /epoch {2}step {2}.*loss {2}accuracy/);
    assert.match(text, /2\.00 .* 4 .*0\.2500 .*0\.8750/);
    assert.match(text, /done after 4 steps; the model is in runs\/it's/);
    assert.ok(text.includes(String.raw`coordinator predict --model 'runs/it'\''s' 'a text'`));
    assert.match(text, /--metrics-listen/);
    assert.match(text, /--train-file train\.csv/);
  });

  it("says what was cut, and how much was padding", () => {
    assert.ok(
      describeEnd(completed, next).includes(
        "lengths: 3 % of the samples were cut at 128 tokens (--max-length); padding was 10 % of the computed tokens",
      ),
    );
    const whole = {
      ...completed,
      profile: null,
      lengths: { truncated: 0, padding: 0.004, maxLength: 128 },
    };
    assert.match(describeEnd(whole, next).join("\n"), /no sample was cut; padding was 0\.4 % of/);
    const imageModel = {
      ...completed,
      profile: null,
      lengths: { truncated: 0, padding: 0, maxLength: 0 },
    };
    assert.doesNotMatch(describeEnd(imageModel, next).join("\n"), /lengths/);
  });

  it("shows pairs as pairs", () => {
    const text = describeEnd(completed, { ...next, examplePair: "b" }).join("\n");
    assert.match(text, /'a text' --text-pair b/);
  });

  it("says how to go on with a run that did not come to its end", () => {
    const interrupted: RunOutcome = {
      ...completed,
      kind: "interrupted",
      modelFolder: null,
      reason: "interrupted",
      exitCode: 130,
    };
    const text = describeEnd(interrupted, next).join("\n");
    assert.match(text, /interrupted after step 4/);
    assert.match(text, /--resume-from-checkpoint/);
    assert.doesNotMatch(text, /coordinator predict/);
    const bare = describeEnd({ ...interrupted, checkpoint: null, evaluations: [] }, next);
    assert.doesNotMatch(bare.join("\n"), /--resume-from-checkpoint|epoch/);
    // The report of a loss has said how, and how to go on.
    const failed = describeEnd({ ...interrupted, kind: "failed", exitCode: 1 }, next).join("\n");
    assert.doesNotMatch(failed, /after step|--resume-from-checkpoint/);
  });
});
