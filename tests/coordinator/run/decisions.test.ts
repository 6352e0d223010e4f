import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { earlyStop, noStanding, stand } from "../../../coordinator/run/best-model.ts";
import { blindBuckets, chooseBuckets } from "../../../coordinator/run/bucket-lengths.ts";
import { commandsToReplay } from "../../../coordinator/run/control.ts";
import { learningRateOf } from "../../../coordinator/run/learning-rate.ts";
import { lossReport } from "../../../coordinator/run/lost-worker.ts";
import { TrainingPlan } from "../../../coordinator/run/training-plan.ts";
import { stepsToRemove } from "../../../coordinator/checkpoint/rotation.ts";

describe("learning rate", () => {
  const scheduled = (step: number): number => (10 - step) / 10;

  it("is the schedule's until it is set, then the schedule's shape from the value on", () => {
    const changes = [{ step: 5, value: 0.05 }];
    assert.equal(learningRateOf(4, scheduled, changes), 0.6);
    assert.equal(learningRateOf(5, scheduled, changes), 0.05);
    assert.ok(Math.abs(learningRateOf(8, scheduled, changes) - 0.02) < 1e-15);
  });

  it("stays at the value where the schedule is at zero", () => {
    assert.equal(
      learningRateOf(10, () => 0, [{ step: 9, value: 0.1 }]),
      0.1,
    );
  });
});

describe("best model", () => {
  const settings = {
    metricForBestModel: "accuracy",
    greaterIsBetter: true,
    earlyStoppingPatience: 2,
    earlyStoppingThreshold: 0.01,
  };

  it("keeps the best, counts gains below the threshold as none, and stops with a reason", () => {
    let standing = noStanding;
    for (const [index, value] of [0.5, 0.6, 0.605, 0.4].entries()) {
      assert.equal(earlyStop(standing, settings), null);
      standing = stand(standing, { step: index + 1, value }, settings);
    }
    assert.deepEqual(standing.best, { step: 3, value: 0.605 });
    assert.equal(earlyStop(standing, settings), "accuracy has not improved for 2 evaluations");
  });
});

describe("training plan", () => {
  const plan = new TrainingPlan({
    totalSteps: 7,
    stepsPerEpoch: 3,
    planEpoch: (epoch) => ({ batchCount: 3, batch: (index) => [[epoch * 10 + index]] }),
  });
  const settings = {
    loggingSteps: 2,
    evalStrategy: "epoch",
    evalSteps: 5,
    saveStrategy: "steps",
    saveSteps: 5,
  } as const;

  it("takes each step's batch from its epoch", () => {
    const batches = [1, 2, 3, 4, 5, 6, 7].map((step) => plan.microbatches(step)[0]?.[0]);
    assert.deepEqual(batches, [0, 1, 2, 10, 11, 12, 20]);
  });

  it("evaluates at epochs' ends, saves at intervals, and does both after the last step", () => {
    const steps = [1, 2, 3, 4, 5, 6, 7];
    const where = (what: "evaluate" | "save" | "log"): number[] =>
      steps.filter((step) => plan.due(step, settings)[what]);
    assert.deepEqual(where("evaluate"), [3, 6, 7]);
    assert.deepEqual(where("save"), [5, 7]);
    assert.deepEqual(where("log"), [2, 4, 6]);
  });
});

describe("commands to replay", () => {
  const command = (verb: string, step: number) =>
    ({ kind: "command", id: `${verb}-${step}`, verb, step, value: null }) as const;

  it("are those after the checkpoint, but for the stop that made it", () => {
    const records = [command("set-learning-rate", 5), command("stop", 6), command("stop", 9)];
    const replayed = commandsToReplay(records, 5).map(({ id }) => id);
    assert.deepEqual(replayed, ["stop-9"]);
  });

  it("leave out what was accepted beyond a step that the journal went back to", () => {
    const run = { kind: "run", run: "r", fromStep: 4, totalSteps: 9 } as const;
    const back = { ...run, tableVersion: "t", workers: 1, seed: 1, tensors: [], weights: [] };
    const records = [command("stop", 8), back, command("set-learning-rate", 6)];
    assert.deepEqual(
      commandsToReplay(records, 2).map(({ id }) => id),
      ["set-learning-rate-6"],
    );
  });
});

describe("rotation", () => {
  it("removes the oldest beyond the limit, never the newest or the best", () => {
    assert.deepEqual(stepsToRemove([1, 2, 3, 4], 2, 1), [2, 3]);
    assert.deepEqual(stepsToRemove([1, 2, 3, 4], null, null), []);
    assert.deepEqual(stepsToRemove([1, 2, 3], 1, 1), [2]);
  });
});

describe("buckets", () => {
  it("end with the longest sequence and are few", () => {
    assert.deepEqual(blindBuckets(128), [32, 64, 96, 128]);
    assert.deepEqual(blindBuckets(512), [32, 64, 128, 256, 512]);
  });

  it("are where the data's lengths are, the longest sequence always among them", () => {
    const longest = [10, 11, 12, 40, 40, 40, 40, 100];
    assert.deepEqual(chooseBuckets(longest, 512), [16, 40, 104, 512]);
    assert.deepEqual(chooseBuckets([], 512), [512]);
    assert.deepEqual(chooseBuckets([30, 30, 30], 30), [30]);
  });

  it("compute no more tokens than any other choice of as many", () => {
    const multiples = [8, 16, 24, 32, 40, 48, 56, 60];
    const costOf = (buckets: readonly number[], longest: readonly number[]): number =>
      longest.reduce((sum, tokens) => sum + (buckets.find((length) => length >= tokens) ?? 0), 0);
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 1, max: 60 }), { maxLength: 40 }), (longest) => {
        const chosen = chooseBuckets(longest, 60);
        assert.ok(chosen.length <= 6 && chosen.at(-1) === 60);
        const choices = Array.from({ length: 2 ** 7 }, (_, bits) =>
          multiples.filter((_length, place) => place === 7 || (bits & (2 ** place)) !== 0),
        ).filter(({ length }) => length <= 6);
        const best = Math.min(...choices.map((buckets) => costOf(buckets, longest)));
        assert.ok(costOf(chosen, longest) <= 1.01 * best);
      }),
    );
  });
});

describe("report of a loss", () => {
  it("says which, when, how, its last words and how to go on", () => {
    const lines = lossReport({
      workerId: "worker-2",
      rank: 2,
      manner: "lost",
      reason: "its connection broke",
      detail: "",
      at: new Date(0),
      end: { kind: "killed", signal: "SIGKILL" },
      lastLines: ["the last line"],
      logFile: "out/logs/worker-2.log",
      training: { step: 56, checkpoint: "out/checkpoint-56" },
    });
    assert.deepEqual(lines, [
      "worker-2 (rank 2) was lost in step 57 (1970-01-01T00:00:00.000Z): its connection broke; its process: killed by SIGKILL",
      "  its last words (out/logs/worker-2.log):",
      "    the last line",
      "  to go on: coordinator --resume-from-checkpoint out/checkpoint-56",
    ]);
  });
});
