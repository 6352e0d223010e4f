import assert from "node:assert/strict";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { summarizeRun } from "../../../coordinator/commands/run-summary.ts";

let folder = "";
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "runs-"));
});
after(() => rm(folder, { recursive: true, force: true }));

function event(type: string, data: object): string {
  return `${JSON.stringify({ type: `ringmaster.v1.${type}`, time: "2026-11-24T07:00:00Z", data })}\n`;
}

async function run(name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const path = join(folder, name);
  await mkdir(path, { recursive: true });
  for (const [file, text] of Object.entries(files)) await writeFile(join(path, file), text);
  return path;
}

const job = "job: trial\nmodel: m\nmetric-for-best-model: accuracy\ngreater-is-better: true\n";
const started = event("RunStarted", { totalSteps: "40" });

describe("summarizeRun", () => {
  it("reads state, steps and best metric from the run's files", async () => {
    const history = [
      { step: 20, eval_accuracy: 0.9 },
      { step: 40, eval_accuracy: 0.8 },
    ];
    const path = await run("done", {
      "job.yaml": job,
      "events.jsonl":
        started +
        event("StepCommitted", { step: "40" }) +
        event("RunEnded", { outcome: "completed", step: "40" }) +
        event("WorkerLeft", { step: "40" }),
      "trainer_state.json": JSON.stringify({
        global_step: 40,
        max_steps: 40,
        log_history: history,
      }),
    });
    assert.deepEqual(await summarizeRun(path), {
      folder: path,
      job: "trial",
      model: "m",
      state: "completed",
      step: 40,
      totalSteps: 40,
      metric: "accuracy",
      best: 0.9,
      startedAt: "2026-11-24T07:00:00Z",
    });
  });

  it("finds the end of a long history without reading all of it", async () => {
    const middle = event("StepCommitted", { step: "7" }).repeat(3000);
    const end = event("StepCommitted", { step: "39" });
    const path = await run("long", { "job.yaml": job, "events.jsonl": started + middle + end });
    const summary = await summarizeRun(path);
    assert.equal(summary?.step, 39);
    assert.equal(summary?.state, "crashed");
    assert.equal(summary?.totalSteps, 40);
  });

  it("knows a run that goes on from one whose process is gone, and a resumed one from its past", async () => {
    const events = started + event("RunEnded", { outcome: "interrupted" }) + started;
    const files = { "job.yaml": job, "events.jsonl": events, "control.json": "{}" };
    const alive = await run("alive", {
      ...files,
      "run.json": JSON.stringify({ processId: process.pid }),
    });
    assert.equal((await summarizeRun(alive))?.state, "running");
    const gone = await run("gone", {
      ...files,
      "run.json": JSON.stringify({ processId: 2 ** 30 }),
    });
    assert.equal((await summarizeRun(gone))?.state, "crashed");
  });

  it("is not put off by half-written files, and sees no run where there is none", async () => {
    const path = await run("torn", {
      "job.yaml": job,
      "events.jsonl": `${started}{"type": "ringm`,
    });
    assert.equal((await summarizeRun(path))?.totalSteps, 40);
    assert.equal(await summarizeRun(await run("empty", {})), null);
  });
});
