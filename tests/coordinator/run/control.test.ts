/** Commands of a run that goes back: what changes the result acts again at the steps that the journal names. */
import assert from "node:assert/strict";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Control } from "../../../coordinator/run/control.ts";
import { Journal } from "../../../coordinator/run/journal.ts";

describe("Control", () => {
  it("replays rate and stop at their steps after going back, and keeps later ones in order", async () => {
    const folder = await mkdtemp(join(tmpdir(), "control-"));
    const journal = await Journal.open(join(folder, "journal.jsonl"));
    try {
      const control = new Control({
        journal,
        nextStep: 1,
        lastStep: 20,
        canEvaluate: false,
        rateChanges: [],
        replay: [],
        onAccepted: () => undefined,
      });
      const decide = (verb: "set-learning-rate" | "stop", value: number | null) =>
        control.decide({ id: verb, verb, value });
      for (let step = 1; step <= 7; step++) assert.deepEqual(control.takeBefore(step), []);
      assert.deepEqual(await decide("set-learning-rate", 0.1), { accepted: true, step: 8 });
      assert.deepEqual(control.takeBefore(8), []);

      assert.deepEqual(
        control.goBack(4).map(({ verb, step }) => [verb, step]),
        [["set-learning-rate", 8]],
      );
      assert.deepEqual(await decide("set-learning-rate", 0.2), { accepted: true, step: 5 });
      assert.deepEqual(control.rateChanges, [
        { step: 5, value: 0.2 },
        { step: 8, value: 0.1 },
      ]);
      for (let step = 5; step <= 8; step++) assert.deepEqual(control.takeBefore(step), []);
      assert.deepEqual(await decide("stop", null), { accepted: true, step: 9 });

      // Lost before the stop could act.
      assert.equal(control.goBack(4).length, 3);
      for (let step = 5; step <= 8; step++) assert.deepEqual(control.takeBefore(step), []);
      assert.deepEqual(control.takeBefore(9), [{ kind: "stop" }]);
    } finally {
      await journal.close();
      await rm(folder, { recursive: true, force: true });
    }
  });
});
