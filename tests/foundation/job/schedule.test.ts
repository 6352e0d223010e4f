/** Compares every schedule with rates that `schedules.py` computed with transformers and torch. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { z } from "zod";
import {
  learningRateAt,
  warmupStepsOf,
  type ScheduleSettings,
} from "../../../foundation/job/schedule.ts";
import { schedulerTypes } from "../../../foundation/job/settings.ts";

const storedSchema = z.object({
  learningRate: z.number(),
  totalSteps: z.number(),
  cases: z.array(
    z.object({
      type: z.enum(schedulerTypes),
      warmupSteps: z.number(),
      kwargs: z.record(z.string(), z.union([z.number(), z.string()])),
      evaluations: z.array(z.object({ step: z.number(), value: z.number() })),
      rates: z.array(z.number()),
    }),
  ),
});

const file = new URL("schedules.json", import.meta.url);
const stored = storedSchema.parse(JSON.parse(readFileSync(file, "utf8")));

function settingsOf(one: (typeof stored.cases)[number]): ScheduleSettings {
  return {
    learningRate: stored.learningRate,
    lrSchedulerType: one.type,
    lrSchedulerKwargs: one.kwargs,
    warmupSteps: one.warmupSteps,
    warmupRatio: 0,
  };
}

describe("learningRateAt", () => {
  for (const one of stored.cases) {
    const name = `${one.type}, warm-up ${one.warmupSteps}, ${JSON.stringify(one.kwargs)}`;
    it(`equals transformers' rates: ${name}`, () => {
      one.rates.forEach((expected, index) => {
        const step = index + 1;
        const { totalSteps } = stored;
        const actual = learningRateAt(settingsOf(one), totalSteps, step, one.evaluations);
        const tolerance = 1e-12 * stored.learningRate;
        assert.ok(
          Math.abs(actual - expected) <= tolerance,
          `step ${step}: expected ${expected}, found ${actual}`,
        );
      });
    });
  }

  it("has a stored case for every schedule", () => {
    const covered = new Set(stored.cases.map((one) => one.type));
    assert.deepEqual(
      schedulerTypes.filter((type) => !covered.has(type)),
      [],
    );
  });
});

describe("warmupStepsOf", () => {
  const base = { learningRate: 1, lrSchedulerType: "linear", lrSchedulerKwargs: {} } as const;

  it("takes steps over a ratio, and rounds a share up", () => {
    assert.equal(warmupStepsOf({ ...base, warmupSteps: 7, warmupRatio: 0.5 }, 100), 7);
    assert.equal(warmupStepsOf({ ...base, warmupSteps: 0, warmupRatio: 0.101 }, 100), 11);
    assert.equal(warmupStepsOf({ ...base, warmupSteps: 0.25, warmupRatio: 0 }, 101), 26);
  });
});
