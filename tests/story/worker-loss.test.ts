/** Any worker's end ends the run, with one report (which, when, how, its last words) and a checkpoint to go on from. */
import assert from "node:assert/strict";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { nothingLeft, portsOf } from "../support/leftovers.ts";
import { lossesOf, startRun, workerProcess } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const faults = new URL("../support/faults.mjs", import.meta.url).href;

/** Each: the signal sent to rank 1 of two, and the report's first line. */
const ends = [
  {
    name: "killed",
    signal: "SIGKILL",
    report:
      /worker-1 \(rank 1\) was lost in step (\d+) \(20.*Z\): .*; its process: killed by SIGKILL\n/u,
    words: /"joined"/u,
  },
  {
    name: "aborted, as when memory ends",
    signal: "SIGABRT",
    report:
      /worker-1 \(rank 1\) was lost in step (\d+) \(20.*Z\): .*; its process: killed by SIGABRT\n/u,
    words: /"joined"/u,
  },
  {
    name: "failing with an error that nobody catches",
    signal: "SIGUSR2",
    report: /worker-1 \(rank 1\) was lost in step (\d+) \(20.*Z\): .*; its process: exit code 1\n/u,
    words: /Error: a fault of this worker\n[^]*at /u,
  },
  {
    name: "told to leave",
    signal: "SIGTERM",
    report:
      /worker-1 \(rank 1\) left after step (\d+) \(20.*Z\): told to leave by SIGTERM; its process: killed by SIGTERM\n/u,
    words: /the step under way is finished/u,
  },
  {
    name: "hanging",
    signal: "SIGSTOP",
    report:
      /worker-1 \(rank 1\) was lost in step (\d+) \(20.*Z\): nothing heard for .* s, .*; its process: still there\n/u,
    words: /"joined"/u,
  },
] as const;

describe("a worker's end", { concurrency: 2 }, () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "loss-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  for (const { name, signal, report, words } of ends.toReversed()) {
    it(`is told once, and the others' state is saved: ${name}`, async () => {
      const output = join(folder, `${signal.toLowerCase()}-${basename(folder)}`);
      const run = startRun(["train", job, "--workers", "2", "--output-dir", output], {
        NODE_OPTIONS: `--import=${faults}`,
      });
      await run.until("step 10/");
      const ports = await portsOf(output);
      process.kill(await workerProcess(basename(output), 1), signal);
      assert.equal(await run.ended, 1, run.text());
      const found = report.exec(run.text());
      assert.ok(found !== null, run.text());
      assert.match(run.text(), words);
      assert.match(run.text(), new RegExp(`its last words \\(.*worker-1.log\\):`, "u"));
      const step = Math.max(...(await lossesOf(output)).keys());
      assert.equal(Number(found[1]), signal === "SIGTERM" ? step : step + 1);
      const advice = new RegExp(
        `to go on: coordinator --resume-from-checkpoint .*checkpoint-${step}\n`,
        "gu",
      );
      assert.equal(run.text().match(advice)?.length, 1, run.text());
      await stat(join(output, `checkpoint-${step}`, "optimizer.safetensors"));
      await nothingLeft(output, ports);
    });
  }
});
