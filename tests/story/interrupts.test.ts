/** Ctrl-C, as a terminal sends it: to the whole process group, once or twice, whatever the run is at. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, readdir, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJournal } from "../../coordinator/run/journal.ts";
import { nothingLeft, portsOf } from "../support/leftovers.ts";
import { lossesOf, startRun, workerProcess } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

/** Rows that are evaluated for longer than a signal takes. */
const manyRows = 1_500;

describe("Ctrl-C", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "interrupts-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const outputOf = (name: string): string => join(folder, `${name}-${basename(folder)}`);
  const train = (output: string, workers: number, ...flags: string[]) =>
    startRun(["train", job, "--workers", String(workers), "--output-dir", output, ...flags]);
  const outcomeOf = async (output: string): Promise<string> => {
    const record = (await readJournal(join(output, "journal.jsonl"))).at(-1);
    return record?.kind === "end" ? record.outcome : "no end";
  };

  it("once: the step is finished and saved", async () => {
    const output = outputOf("once");
    const run = train(output, 2);
    await run.until("step 10/");
    const ports = await portsOf(output);
    assert.ok(
      ports.length >= 7,
      `${ports.length} ports: two of the coordinator, NATS, two of each worker`,
    );
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    const step = Math.max(...(await lossesOf(output)).keys());
    await stat(join(output, `checkpoint-${step}`, "resume.json"));
    assert.match(
      run.text(),
      new RegExp(`interrupted after step ${step}: [^]*--resume-from-checkpoint`, "u"),
    );
    assert.equal(await outcomeOf(output), "interrupted");
    await nothingLeft(output, ports);
  });

  it("twice: the run is left at once, though the step under way cannot be finished", async () => {
    const output = outputOf("twice");
    const run = train(output, 2);
    await run.until("step 10/");
    const ports = await portsOf(output);
    process.kill(await workerProcess(basename(output), 1), "SIGSTOP");
    run.interrupt();
    await run.until("once more leaves now");
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.equal(await outcomeOf(output), "interrupted");
    assert.ok(!(await readdir(output)).some((name) => name.startsWith("checkpoint")));
    await nothingLeft(output, ports);
  });

  it("while the workers prepare: they are ended, and nothing is said to be saved", async () => {
    const output = outputOf("early");
    const run = train(output, 2);
    await run.until("preparing:");
    const ports = await portsOf(output);
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.match(run.text(), /interrupted after step 0/u);
    await nothingLeft(output, ports);
  });

  it("before anything is started: one line", async () => {
    const run = train(outputOf("none"), 2);
    await run.until("Fine-tuning a model:");
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.doesNotMatch(run.text(), /\n\s+at /u);
  });

  it("during an evaluation: it is left, the step is saved, and the resumed run makes it first", async () => {
    const output = outputOf("evaluating");
    const validation = join(folder, "many.csv");
    const rows = Array.from({ length: manyRows }, (_, row) => `abc ${row},${row % 2}`);
    await writeFile(validation, `text,label\n${rows.join("\n")}\n`);
    const evaluating = ["--validation-file", validation, "--eval-strategy", "steps"];
    const run = train(output, 1, ...evaluating, "--eval-steps", "3", "--logging-steps", "1");
    await run.until("step 3/");
    run.interrupt();
    assert.equal(await run.ended, 130, run.text());
    assert.doesNotMatch(run.text(), /validation after step/u);
    const resumed = startRun(["--resume-from-checkpoint", join(output, "checkpoint-3")]);
    await resumed.until(/validation after step 3 /u);
    await resumed.until("step 5/");
    resumed.interrupt();
    assert.equal(await resumed.ended, 130, resumed.text());
    const text = await readFile(join(output, "trainer_state.json"), "utf8");
    const { log_history: history } = JSON.parse(text) as { log_history: Record<string, number>[] };
    const steps = history.flatMap((entry) => ("eval_loss" in entry ? [entry["step"]] : []));
    assert.equal(steps[0], 3);
  });
});
