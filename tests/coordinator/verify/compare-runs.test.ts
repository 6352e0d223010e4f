import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { Journal } from "../../../coordinator/run/journal.ts";
import type { JournalRecord } from "../../../coordinator/run/journal.ts";
import { areEqual, compareRuns } from "../../../coordinator/verify/compare-runs.ts";
import { standingRecords } from "../../../coordinator/verify/run-record.ts";
import type { RunRecord } from "../../../coordinator/verify/run-record.ts";
import { runIn } from "../../support/one-shot.ts";

const beginning = (fromStep: number) =>
  ({
    kind: "run",
    run: "r",
    fromStep,
    totalSteps: 4,
    tableVersion: "t",
    workers: 1,
    seed: 1,
    tensors: ["first", "second"],
    weights: ["first", "second", "frozen"],
  }) satisfies JournalRecord;

const ring = (cpu: string) =>
  ({
    kind: "ring",
    generation: 1,
    step: 0,
    threads: 1,
    members: [{ workerId: "worker-0", environment: { cpu, host: `host of ${cpu}` } }],
  }) satisfies JournalRecord;

const stepOf = (step: number, changes: object = {}): Extract<JournalRecord, { kind: "step" }> => ({
  kind: "step",
  step,
  generation: 1,
  attempt: 0,
  loss: 1 / step,
  weight: 8,
  gradNorm: 1,
  learningRate: 0.1,
  samples: 8,
  tensors: ["aa", `b${step}`],
  ...changes,
});

const weightsOf = (step: number, ...tensors: string[]) =>
  ({ kind: "weights", step, tensors }) satisfies JournalRecord;

const runOf = (records: readonly JournalRecord[], more: Partial<RunRecord> = {}): RunRecord => ({
  folder: "run",
  settings: new Map(),
  model: "00",
  ...standingRecords([beginning(0), ...records]),
  ...more,
});

const steps = (count: number) => Array.from({ length: count }, (_, index) => stepOf(index + 1));

describe("comparing runs", () => {
  it("finds equal runs equal, a resumed one for its steps only", () => {
    const whole = runOf([...steps(4), weightsOf(2, "x"), weightsOf(4, "y")]);
    const resumed = runOf([beginning(2), stepOf(3), stepOf(4), weightsOf(4, "y")]);
    const comparison = compareRuns(whole, resumed);
    assert.deepEqual(comparison.common, { first: 3, last: 4, count: 2 });
    assert.equal(comparison.agreeUpTo, 4);
    assert.deepEqual(comparison.weightsAgreeAt, [4]);
    assert.equal(areEqual(comparison), true);
  });

  it("finds a step that one of them skipped", () => {
    const skipped = { kind: "skipped", step: 2, generation: 1, attempt: 0, samples: 8 } as const;
    const skip = { ...skipped, lossScale: 4, reason: "the norm of the gradient is NaN" };
    const skipping = runOf([stepOf(1), skip, stepOf(3)]);
    assert.equal(areEqual(compareRuns(skipping, skipping)), true);
    const what = "skipped by the first alone";
    assert.deepEqual(compareRuns(skipping, runOf(steps(3))).parting, { step: 2, what });
    const resumed = runOf([stepOf(1), skip, beginning(1), ...steps(3).slice(1)]);
    assert.equal(areEqual(compareRuns(resumed, runOf(steps(3)))), true);
  });

  it("names the first step and tensor that differ", () => {
    const other = [stepOf(1), stepOf(2, { tensors: ["aa", "other"] }), stepOf(3, { loss: 7 })];
    const comparison = compareRuns(runOf(steps(3)), runOf(other));
    assert.deepEqual(comparison.parting, { step: 2, what: "gradient of second alone" });
    assert.equal(comparison.agreeUpTo, 1);
    assert.equal(areEqual(comparison), false);
    const both = runOf([stepOf(1, { tensors: ["x", "y"] })]);
    const first = compareRuns(runOf(steps(3)), both).parting;
    assert.equal(first?.what, "gradient of first and of 1 more of 2 tensors");
  });

  it("names weights that differ after equal gradients, and numbers that differ", () => {
    const a = runOf([...steps(2), weightsOf(1, "x", "y", "z")]);
    const b = runOf([...steps(2), weightsOf(1, "x", "y", "w")]);
    const { parting } = compareRuns(a, b);
    assert.deepEqual(parting, { step: 1, what: "weights after it: frozen alone" });
    const rate = compareRuns(runOf(steps(1)), runOf([stepOf(1, { learningRate: 0.2 })])).parting;
    assert.equal(rate?.what, "learning rate: 0.1 and 0.2");
  });

  it("takes of a step that was trained again the later", () => {
    const again = runOf([stepOf(1), stepOf(2, { loss: 9 }), beginning(1), stepOf(2)]);
    assert.equal(areEqual(compareRuns(runOf(steps(2)), again)), true);
  });

  it("tells of other models, settings and machines, but not of what decides nothing", () => {
    const settings = (rate: string, workers: string) =>
      new Map([
        ["learning-rate", rate],
        ["workers", workers],
      ]);
    const a = runOf([ring("new"), ...steps(2)], { settings: settings("5e-5", "1") });
    const b = runOf([ring("old"), ...steps(2)], { settings: settings("1e-5", "4"), model: "11" });
    const comparison = compareRuns(a, b);
    assert.deepEqual(comparison.settings, [{ name: "learning-rate", a: "5e-5", b: "1e-5" }]);
    assert.deepEqual(comparison.machines, [{ name: "cpu", a: "new", b: "old" }]);
    assert.equal(comparison.sameModel, false);
    assert.equal(areEqual(comparison), false);
  });
});

describe("coordinator verify", () => {
  let folder: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "verify-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const write = async (name: string, records: readonly JournalRecord[]): Promise<string> => {
    const made = await mkdtemp(join(folder, name));
    const journal = await Journal.open(join(made, "journal.jsonl"));
    for (const record of records) await journal.append(record);
    await journal.close();
    await writeFile(join(made, "job.yaml"), "learning-rate: 5e-5\n");
    await writeFile(join(made, "model.safetensors"), "weights");
    return made;
  };

  it("says equal, different or why not, each with its exit code", async () => {
    const a = await write("a", [beginning(0), ring("x"), ...steps(3)]);
    const b = await write("b", [beginning(0), ring("x"), ...steps(2), stepOf(3, { loss: 5 })]);
    const same = await runIn(folder, ["verify", a, a], {});
    assert.equal(same.code, 0, same.stderr);
    assert.match(same.stdout, /EQUAL\n$/u);
    const other = await runIn(folder, ["verify", a, b], {});
    assert.equal(other.code, 1, other.stderr);
    assert.match(other.stdout, /part at step 3: loss: 0\.3+ and 5\. Up to step 2/u);
    const json = await runIn(folder, ["verify", a, b, "--format", "jsonl"], {});
    assert.deepEqual((JSON.parse(json.stdout) as { parting: unknown }).parting, {
      step: 3,
      what: `loss: ${1 / 3} and 5`,
    });
    const nothing = await runIn(folder, ["verify", a, folder], {});
    assert.equal(nothing.code, 2);
    assert.match(nothing.stderr, /expected the output folder of a run, found no journal\.jsonl/u);
    const apart = await write("c", [beginning(7), stepOf(8)]);
    const early = await runIn(folder, ["verify", a, apart], {});
    assert.equal(early.code, 2);
    assert.match(early.stderr, /expected steps that .* has too \(1–3\), found 8–8/u);
  });
});
