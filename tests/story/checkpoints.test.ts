/** Checkpoints are made while steps go on: they hold the state of their step, and what ends a run waits for them or leaves nothing. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readResumePoint } from "../../coordinator/checkpoint/checkpoint-folder.ts";
import { nothingLeft, portsOf } from "../support/leftovers.ts";
import { hashOf, lossesOf, startRun, workerProcess } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const gatesModule = new URL("../support/gates.mjs", import.meta.url).href;

/** Where a checkpoint's run goes on, and its history, but for times. */
async function resumePoint(checkpoint: string) {
  const { step, sampler, scores, logHistory, losses, samples } = await readResumePoint(checkpoint);
  const isTime = ([name]: [string, number]): boolean => /_(?:runtime|per_second)$/u.test(name);
  const history = logHistory.map((entry) =>
    Object.entries(entry).filter((field) => !isTime(field)),
  );
  return { step, sampler, scores, history, losses, samples };
}

/** Types and steps of a run's events, in their order. */
async function eventsOf(output: string): Promise<readonly string[]> {
  const lines = (await readFile(join(output, "events.jsonl"), "utf8")).trimEnd().split("\n");
  return lines.map((line) => {
    const { type, data } = JSON.parse(line) as { type: string; data: { step?: string } };
    return `${type.split(".").at(-1)} ${data.step ?? ""}`.trimEnd();
  });
}

describe("a checkpoint", () => {
  let folder: string;
  let job: string;
  /** A run that nothing is held in. */
  let whole: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "checkpoints-"));
    job = join(folder, "job.yaml");
    const settings = ["save-strategy: steps", "save-steps: 8", "logging-steps: 1"];
    const text = await writeTinyJob(folder, [...settings, "lr-scheduler-type: constant"]);
    await writeFile(job, text);
    whole = outputOf("whole");
    const run = startRun(["train", job, "--max-steps", "23", "--output-dir", whole]);
    assert.equal(await run.ended, 0, run.text());
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const outputOf = (name: string): string => join(folder, `${name}-${basename(folder)}`);
  const isThere = (file: string): Promise<boolean> =>
    stat(file).then(
      () => true,
      () => false,
    );

  /** Starts a run of two workers that is held at a gate. */
  const startHeld = async (name: string, gate: string, ...flags: string[]) => {
    const gates = join(folder, `gates-${name}`);
    await mkdir(gates);
    await writeFile(join(gates, gate), "");
    const output = outputOf(name);
    const run = startRun(["train", job, "--workers", "2", "--output-dir", output, ...flags], {
      NODE_OPTIONS: `--import=${gatesModule}`,
      RINGMASTER_TEST_GATES: gates,
    });
    return { run, output, open: () => rm(join(gates, gate)) };
  };

  for (const stage of ["0", "1"]) {
    it(`has the state of its step, though steps go on before it is whole: --zero-stage ${stage}`, async () => {
      const name = `ahead-${stage}`;
      const flags = ["--max-steps", "12", "--zero-stage", stage];
      const { run, output, open } = await startHeld(name, "upload-0-1", ...flags);
      // The next one waits for it, which the last step makes, and the run's end for that.
      await run.until("step 12/");
      await run.until("waiting for the checkpoint of step 8");
      const checkpoint = join(output, "checkpoint-8");
      assert.ok(!(await isThere(checkpoint)), "it does not count before it is whole");
      await open();
      assert.equal(await run.ended, 0, run.text());
      const events = (await eventsOf(output)).filter((event) => /^(Step|Check|RunE)/u.test(event));
      assert.deepEqual(events.slice(8), [
        ...[9, 10, 11, 12].map((step) => `StepCommitted ${step}`),
        "CheckpointWritten 8",
        "CheckpointWritten 12",
        "RunEnded 12",
      ]);
      const stopped = join(folder, "stopped");
      if (!(await isThere(stopped))) {
        const until = ["--max-steps", "8", "--workers", "1", "--output-dir", stopped];
        const reference = startRun(["train", job, ...until]);
        assert.equal(await reference.ended, 0, reference.text());
      }
      const expected = join(stopped, "checkpoint-8");
      for (const file of ["model.safetensors", "optimizer.safetensors"])
        assert.equal(await hashOf(join(checkpoint, file)), await hashOf(join(expected, file)));
      assert.deepEqual(await resumePoint(checkpoint), await resumePoint(expected));
    });
  }

  it("is not found when the coordinator is killed before it is whole: the one before is", async () => {
    const flags = ["--max-steps", "23"];
    const { run, output } = await startHeld("killed", "checkpoint-16", ...flags);
    await run.until("step 20/");
    const ports = await portsOf(output);
    run.child.kill("SIGKILL");
    assert.equal(await run.ended, "SIGKILL");
    await nothingLeft(output, ports);
    const names = await readdir(output);
    assert.deepEqual(
      names.filter((name) => name.includes("checkpoint")),
      ["checkpoint-8"],
    );
    const last = ["--resume-from-checkpoint", "last", "--output-dir", output, "--workers", "1"];
    const resumed = startRun(last);
    assert.equal(await resumed.ended, 0, resumed.text());
    const since = [...(await lossesOf(whole))].filter(([step]) => step > 20);
    const losses = await lossesOf(output);
    assert.deepEqual(
      since.map(([step]) => [step, losses.get(step)]),
      since,
    );
    const model = "model.safetensors";
    assert.equal(await hashOf(join(output, model)), await hashOf(join(whole, model)));
  });

  it("is abandoned when the worker that gives it is killed, and the last step is saved by another", async () => {
    const { run, output } = await startHeld("giver", "upload-0-2");
    await run.until("step 20/");
    process.kill(await workerProcess(basename(output), 0), "SIGKILL");
    assert.equal(await run.ended, 1, run.text());
    assert.match(run.text(), /the checkpoint of step 16 is abandoned: worker-0 is lost: /u);
    const step = Math.max(...(await lossesOf(output)).keys());
    const names = (await readdir(output)).filter((name) => name.includes("checkpoint"));
    assert.deepEqual(names.toSorted(), ["checkpoint-8", `checkpoint-${step}`].toSorted());
    assert.match(run.text(), new RegExp(`--resume-from-checkpoint .*checkpoint-${step}\n`, "u"));
  });

  it("becomes whole when another worker is killed, and the last step is saved too", async () => {
    const { run, output, open } = await startHeld("other", "checkpoint-16");
    await run.until("step 20/");
    process.kill(await workerProcess(basename(output), 1), "SIGKILL");
    await open();
    assert.equal(await run.ended, 1, run.text());
    const step = Math.max(...(await lossesOf(output)).keys());
    for (const saved of [16, step])
      assert.ok(await isThere(join(output, `checkpoint-${saved}`, "resume.json")), run.text());
  });

  for (const { name, gate, back } of [
    { name: "a share that has not come", gate: "upload-1-2", back: "checkpoint-8" },
    { name: "shares that have come", gate: "checkpoint-16", back: "checkpoint-16" },
  ]) {
    it(`of ${name} when a worker is killed: --zero-stage 1 goes back to ${back}`, async () => {
      const flags = ["--zero-stage", "1", "--max-steps", "23"];
      const { run, output, open } = await startHeld(`back-${gate}`, gate, ...flags);
      await run.until("step 20/");
      process.kill(await workerProcess(basename(output), 1), "SIGKILL");
      if (gate === "checkpoint-16") await open();
      assert.equal(await run.ended, 0, run.text());
      const told = new RegExp(`back from step \\d+ to ${back}, on with 1 worker`, "u");
      assert.match(run.text(), told);
      const model = "model.safetensors";
      assert.equal(await hashOf(join(output, model)), await hashOf(join(whole, model)));
    });
  }

  it("ends the run when it cannot be written, as soon as that is known", async () => {
    const { run, output } = await startHeld("full", "full-checkpoint-16");
    assert.equal(await run.ended, 1, run.text());
    assert.match(run.text(), /no place on the disk/u);
    const step = Math.max(...(await lossesOf(output)).keys());
    assert.ok(step >= 16 && step <= 24, "the next one is not begun");
    const names = (await readdir(output)).filter((name) => name.includes("checkpoint"));
    // The last step is saved as after any failure; it may be the same that has found no place.
    const saved = names.toSorted().filter((name) => name !== "checkpoint-8");
    assert.deepEqual(saved, step === 16 ? [] : [`checkpoint-${step}`]);
  });

  it("is waited for by an interrupt, which saves the last step then", async () => {
    const { run, output, open } = await startHeld("interrupted", "checkpoint-8");
    await run.until("step 10/");
    run.interrupt();
    await run.until("waiting for the checkpoint of step 8");
    await open();
    assert.equal(await run.ended, 130, run.text());
    const step = Math.max(...(await lossesOf(output)).keys());
    for (const saved of [8, step])
      assert.ok(await isThere(join(output, `checkpoint-${saved}`, "resume.json")), run.text());
    const written = (await eventsOf(output)).filter((event) => event.startsWith("Checkpoint"));
    assert.deepEqual(written, ["CheckpointWritten 8", `CheckpointWritten ${step}`]);
  });

  it("is abandoned by a second interrupt, and nothing of it stays", async () => {
    const { run, output } = await startHeld("left", "upload-0-1");
    await run.until("step 10/");
    const ports = await portsOf(output);
    run.interrupt();
    await run.until("waiting for the checkpoint of step 8");
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.match(run.text(), /the checkpoint of step 8 is abandoned: /u);
    assert.ok(!(await readdir(output)).some((name) => name.includes("checkpoint")));
    await nothingLeft(output, ports);
  });
});
