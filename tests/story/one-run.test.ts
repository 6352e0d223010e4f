/** The story of a run: trained by one worker or four, interrupted, resumed, and losing a worker or its coordinator. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { lossesOf, processesNaming, startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

async function hashOf(file: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(file))
    .digest("hex");
}

describe("a run", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "story-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder, ["eval-strategy: epoch", "save-steps: 4"]));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const train = (name: string, workers: number, ...flags: string[]) =>
    startRun([
      "train",
      job,
      "--workers",
      String(workers),
      "--output-dir",
      join(folder, name),
      "--save-strategy",
      "steps",
      ...flags,
    ]);

  it("ends with the same weights for one to four workers, and for one that was resumed", async () => {
    const steps = ["--max-steps", "10"];
    for (const [name, workers] of [
      ["four", 4],
      ["one", 1],
      ["two", 2],
      ["three", 3],
    ] as const) {
      const run = train(name, workers, ...steps, "--verify-every", "5");
      assert.equal(await run.ended, 0, run.text());
    }
    const resumed = startRun([
      "train",
      "--resume-from-checkpoint",
      join(folder, "four", "checkpoint-4"),
      "--output-dir",
      join(folder, "resumed"),
      "--workers",
      "2",
    ]);
    assert.equal(await resumed.ended, 0, resumed.text());

    const four = await lossesOf(join(folder, "four"));
    assert.deepEqual([...four.keys()], [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    assert.deepEqual(await lossesOf(join(folder, "one")), four);
    assert.deepEqual(
      await lossesOf(join(folder, "resumed")),
      new Map([...four].filter(([step]) => step > 4)),
    );
    const weights = (name: string) => hashOf(join(folder, name, "model.safetensors"));
    for (const name of ["one", "two", "three", "resumed"]) {
      assert.equal(await weights(name), await weights("four"), name);
      const verified = startRun(["verify", join(folder, "four"), join(folder, name)]);
      assert.equal(await verified.ended, 0, verified.text());
      assert.match(verified.text(), name === "resumed" ? /Steps 5–10: / : /Steps 1–10: /u);
      assert.match(verified.text(), /The weights are the same after step .*8/u);
    }

    const state: unknown = JSON.parse(
      await readFile(join(folder, "four", "trainer_state.json"), "utf8"),
    );
    const { log_history: history } = state as { log_history: Record<string, number>[] };
    assert.equal(history.filter((entry) => "eval_loss" in entry).length, 2);
    assert.ok(history.at(-1)?.["train_samples_per_second"]);
    const names = await readdir(join(folder, "four"));
    for (const name of ["config.json", "job.yaml", "events.jsonl", "checkpoint-8"]) {
      assert.ok(names.includes(name), name);
    }
    assert.ok(!names.some((name) => name.includes("partial") || name === "control.json"));
  });

  it("finishes its step at the first Ctrl-C, writes a checkpoint and leaves nothing behind", async () => {
    const run = train("interrupted", 2);
    await run.until("step 10/");
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    const step = Math.max(...(await lossesOf(join(folder, "interrupted"))).keys());
    await stat(join(folder, "interrupted", `checkpoint-${step}`, "resume.json"));
    assert.deepEqual(await processesNaming(join(folder, "interrupted")), []);
  });

  it("tells which worker was killed, when and how, and saves what the others have", async () => {
    const run = train("bereft", 2);
    await run.until("step 10/");
    const workers = await processesNaming("RINGMASTER_LOCAL_RANK=1");
    for (const id of workers) {
      const text = await readFile(`/proc/${id}/environ`, "utf8").catch(() => "");
      const command = await readFile(`/proc/${id}/cmdline`, "utf8").catch(() => "");
      const isOurs = text.includes("RINGMASTER_RUN=bereft") && command.startsWith(process.execPath);
      if (isOurs) process.kill(id, "SIGKILL");
    }
    assert.equal(await run.ended, 1, run.text());
    assert.match(run.text(), /worker-1 \(rank 1\) was lost in step \d+ .*: .*killed by SIGKILL/u);
    const step = Math.max(...(await lossesOf(join(folder, "bereft"))).keys());
    assert.match(run.text(), new RegExp(`--resume-from-checkpoint .*checkpoint-${step}`, "u"));
    await stat(join(folder, "bereft", `checkpoint-${step}`, "optimizer.safetensors"));
  });

  it("leaves no process behind when its coordinator is killed", async () => {
    const run = train("orphaned", 2);
    await run.until("step 10/");
    const named = join(folder, "orphaned");
    assert.notDeepEqual(await processesNaming("RINGMASTER_RUN=orphaned"), []);
    run.child.kill("SIGKILL");
    assert.equal(await run.ended, "SIGKILL");
    const remain = async (): Promise<number> =>
      (await processesNaming("RINGMASTER_RUN=orphaned")).length +
      (await processesNaming(named)).length;
    while ((await remain()) > 0) await sleep(100);
  });
});
