/**
 * Goal: `--profile` of a real run gives traces that Perfetto opens and a summary whose parts add up, and changes nothing
 * that is trained. Method: the same tiny job with two workers, profiled and not.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { z } from "zod";
import { checkTrace } from "../support/check-trace.ts";
import { hashOf, startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const folder = mkdtempSync(join(tmpdir(), "ringmaster-profile-"));
const jobFile = join(folder, "job.yaml");
const steps = 6;

const partsSchema = z.object({
  stepMs: z.number().positive(),
  computeMs: z.number().positive(),
  exchangeMs: z.number().nonnegative(),
  inputMs: z.number().nonnegative(),
  commitMs: z.number().nonnegative(),
  otherMs: z.number(),
});
const summarySchema = z.object({
  workers: z.array(
    z.object({
      rank: z.number(),
      steps: z.array(z.number()),
      mean: partsSchema,
      ops: z.array(z.object({ op: z.string(), share: z.number() })).min(5),
      products: z.object({ gflop: z.number().positive(), peakGflops: z.number().positive() }),
      padding: z.number(),
    }),
  ),
});

async function train(name: string, ...args: readonly string[]): Promise<string> {
  const output = join(folder, name);
  const run = startRun(["train", jobFile, "--output-dir", output, "--workers", "2", ...args]);
  assert.equal(await run.ended, 0, run.text());
  return run.text();
}

before(async () => {
  const job = await writeTinyJob(folder);
  writeFileSync(jobFile, job.replace("max-steps: 1000000", `max-steps: ${steps}`));
});
after(() => rmSync(folder, { recursive: true, force: true }));

describe("a profiled run", () => {
  it("leaves a trace for each worker and a summary, and trains the same bits", async () => {
    await train("plain");
    const said = await train("profiled", "--profile-steps", "2-4", "--gradient-buckets", "3");
    const weightsOf = (name: string) => hashOf(join(folder, name, "model.safetensors"));
    assert.equal(await weightsOf("profiled"), await weightsOf("plain"));
    assert.ok(!(await readdir(join(folder, "plain"))).includes("profile"));
    const profile = join(folder, "profiled", "profile");
    assert.deepEqual((await readdir(profile)).toSorted(), [
      "rank-0.json",
      "rank-1.json",
      "summary.json",
      "summary.txt",
    ]);
    for (const rank of [0, 1]) {
      const trace: unknown = JSON.parse(await readFile(join(profile, `rank-${rank}.json`), "utf8"));
      const events = checkTrace(trace);
      const named = (cat: string, name: RegExp) =>
        events.filter((event) => event.cat === cat && name.test(event.name));
      assert.deepEqual(
        named("step", /./u).map(({ name }) => name),
        ["step 2", "step 3", "step 4"],
      );
      // Four microbatches a step, two a worker.
      assert.equal(named("engine", /gradients/u).length, 6);
      assert.equal(named("engine", /update/u).length, 3);
      // In three buckets, each agreed on and summed up by itself.
      assert.equal(named("main", /^exchange$/u).length, 9);
      assert.equal(named("main", /^agree on exponents$/u).length, 9);
      for (const name of [
        "data",
        "compute",
        "exchange",
        "sum integers",
        "round",
        "wait for commit",
      ]) {
        assert.ok(named("main", new RegExp(`^${name}`, "u")).length >= 3, name);
      }
      assert.ok(named("input", /collate/u).length >= 6);
      assert.ok(named("ops", /^RingmasterPackedAttention$/u).length >= 6);
      // Every op lies within what the engine did.
      const engine = named("engine", /./u);
      for (const { ts, dur, name } of named("ops", /./u)) {
        const around = engine.find(
          (call) => call.ts <= ts && ts + dur <= call.ts + call.dur + 0.001,
        );
        assert.ok(around !== undefined, name);
      }
    }
    const text = await readFile(join(profile, "summary.json"), "utf8");
    const { workers } = summarySchema.parse(JSON.parse(text));
    assert.deepEqual(
      workers.map((worker) => worker.steps),
      [
        [2, 3, 4],
        [2, 3, 4],
      ],
    );
    for (const { mean, ops } of workers) {
      const { stepMs, computeMs, exchangeMs, inputMs, commitMs, otherMs } = mean;
      const sum = computeMs + exchangeMs + inputMs + commitMs + otherMs;
      assert.ok(Math.abs(stepMs - sum) < 1e-6 && otherMs > -1e-6);
      assert.ok(Math.abs(ops.reduce((all, { share }) => all + share, 0) - 1) < 1e-6);
    }
    assert.match(said, /profile: .*profile \(open rank-\*\.json in ui\.perfetto\.dev/u);
    assert.match(said, /rank 1, worker-1: step .* = compute .* \+ exchange /u);
  });

  it("takes the last steps of a short run, and refuses steps that it does not have", async () => {
    await train("last", "--profile", "--eager");
    const text = await readFile(join(folder, "last", "profile", "summary.json"), "utf8");
    const { workers } = z
      .object({ workers: z.array(z.object({ steps: z.array(z.number()) })) })
      .parse(JSON.parse(text));
    assert.deepEqual(workers[0]?.steps, [4, 5, 6]);
    const refused = startRun(["train", jobFile, "--profile-steps", "7-8"]);
    assert.equal(await refused.ended, 2);
    assert.match(refused.text(), /--profile-steps: expected steps from 1 to 6.*7-8/u);
    const backwards = startRun(["train", jobFile, "--profile-steps", "8-7"]);
    assert.equal(await backwards.ended, 2);
    assert.match(backwards.text(), /--profile-steps.*8-7/u);
  });
});
