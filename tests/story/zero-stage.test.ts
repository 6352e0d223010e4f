/** The optimiser's state shared out over the workers: the same weights as ever, also resumed, and after a worker is killed. */
import assert from "node:assert/strict";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJournal } from "../../coordinator/run/journal.ts";
import { nothingLeft, portsOf } from "../support/leftovers.ts";
import { hashOf, startRun, workerProcess } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

const steps = 24;

describe("a run with --zero-stage 1", () => {
  let folder: string;
  let job: string;
  let weights: string;
  const outputOf = (name: string): string => join(folder, `${name}-${basename(folder)}`);
  const train = (name: string, ...flags: string[]) =>
    startRun(["train", job, "--output-dir", outputOf(name), ...flags]);
  const modelOf = (name: string) => hashOf(join(outputOf(name), "model.safetensors"));
  const momentsOf = (name: string, step: number) =>
    hashOf(join(outputOf(name), `checkpoint-${step}`, "optimizer.safetensors"));

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "zero-"));
    job = join(folder, "job.yaml");
    const when = ["eval-strategy: epoch", "save-strategy: steps", "save-steps: 8"];
    const text = await writeTinyJob(folder, [...when, "weight-decay: 0.01"]);
    await writeFile(job, text.replace("max-steps: 1000000", `max-steps: ${steps}`));
    const whole = train("whole", "--workers", "2");
    assert.equal(await whole.ended, 0, whole.text());
    weights = await modelOf("whole");
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("ends with the weights and moments of a run without, for one to three workers", async () => {
    for (const workers of [1, 2, 3]) {
      const name = `shared-${workers}`;
      const flags = ["--workers", String(workers), "--zero-stage", "1", "--verify-every", "5"];
      const run = train(name, ...flags);
      assert.equal(await run.ended, 0, run.text());
      assert.equal(await modelOf(name), weights);
      for (const step of [8, steps])
        assert.equal(await momentsOf(name, step), await momentsOf("whole", step));
    }
    const verified = startRun(["verify", outputOf("whole"), outputOf("shared-3")]);
    assert.equal(await verified.ended, 0, verified.text());
  });

  it("goes on from a checkpoint with another number of workers, and without", async () => {
    for (const [name, from, stage, workers] of [
      ["resumed-shared", "shared-3", "1", "2"],
      ["resumed-whole", "shared-3", "0", "1"],
      ["resumed-from-whole", "whole", "1", "3"],
    ] as const) {
      const checkpoint = join(outputOf(from), "checkpoint-8");
      const flags = ["--workers", workers, "--zero-stage", stage, "--output-dir", outputOf(name)];
      const run = startRun(["train", "--resume-from-checkpoint", checkpoint, ...flags]);
      assert.equal(await run.ended, 0, run.text());
      assert.equal(await modelOf(name), weights, name);
    }
  });

  const longer = ["--max-steps", "200"];
  for (const { name, when, wanted, back } of [
    { name: "start", when: ["--save-strategy", "no"], wanted: "step 2/", back: /to the start,/u },
    {
      name: "checkpoint",
      when: ["--save-steps", "50"],
      wanted: "checkpoint-50\n",
      back: /to checkpoint-(?<step>\d+),/u,
    },
  ]) {
    it(`goes back to the ${name} when a worker is killed, and ends with the same weights`, async () => {
      const output = outputOf(name);
      const flags = ["--workers", "3", "--zero-stage", "1", "--logging-steps", "1"];
      const run = train(name, ...flags, ...longer, ...when);
      await run.until(wanted);
      const ports = await portsOf(output);
      process.kill(await workerProcess(basename(output), 1), "SIGKILL");
      assert.equal(await run.ended, 0, run.text());
      const told =
        /worker-1 is lost: .*; its share of the optimiser's state is gone with it: back from step \d+ (?<to>.*) on with 2 workers/u.exec(
          run.text(),
        );
      const to = back.exec(told?.groups?.["to"] ?? "");
      assert.ok(to !== null, run.text());
      const fromStep = Number(to.groups?.["step"] ?? 0);
      const records = await readJournal(join(output, "journal.jsonl"));
      assert.deepEqual(
        records.flatMap((record) =>
          record.kind === "run" ? [[record.fromStep, record.workers]] : [],
        ),
        [
          [0, 3],
          [fromStep, 2],
        ],
      );
      const committed = records.filter(({ kind }) => kind === "step").length;
      assert.ok(committed > 200, "steps were computed again");
      const state = await readFile(join(output, "trainer_state.json"), "utf8");
      const { log_history: history } = JSON.parse(state) as { log_history: { step: number }[] };
      assert.equal(history.filter((entry) => "loss" in entry).length, 200, "each step once");
      assert.equal(await modelOf(name), await undisturbed());
      await nothingLeft(output, ports);
    });
  }

  let longWeights: Promise<string> | null = null;
  const undisturbed = (): Promise<string> => {
    longWeights ??= (async () => {
      const run = train("undisturbed", ...longer, "--save-strategy", "no");
      assert.equal(await run.ended, 0, run.text());
      return await modelOf("undisturbed");
    })();
    return longWeights;
  };

  it("keeps all shares when a worker is told to leave", async () => {
    const run = train(
      "left",
      "--workers",
      "2",
      "--zero-stage",
      "1",
      "--logging-steps",
      "1",
      ...longer,
    );
    await run.until("step 2/");
    process.kill(await workerProcess(basename(outputOf("left")), 1), "SIGTERM");
    assert.equal(await run.ended, 1, run.text());
    const advice = /to go on: coordinator --resume-from-checkpoint (.*)\n/u.exec(run.text());
    assert.ok(advice !== null, run.text());
    const flags = ["--workers", "1", "--output-dir", outputOf("left-resumed")];
    const resumed = startRun(["train", "--resume-from-checkpoint", advice[1]!, ...flags]);
    assert.equal(await resumed.ended, 0, resumed.text());
    assert.equal(await modelOf("left-resumed"), await undisturbed());
  });
});
