/** The story of a run: trained by one worker or four, resumed, killed along with its coordinator and resumed again. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { nothingLeft, portsOf } from "../support/leftovers.ts";
import { evaluationsOf, hashOf, lossesOf, startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

describe("a run", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "story-"));
    job = join(folder, "job.yaml");
    await writeFile(job, await writeTinyJob(folder, ["eval-strategy: epoch", "save-steps: 4"]));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const weightsOf = (output: string) => hashOf(join(output, "model.safetensors"));
  const train = (name: string, workers: number, ...flags: string[]) =>
    startRun([
      "train",
      job,
      "--workers",
      String(workers),
      "--output-dir",
      resolve(folder, name),
      "--save-strategy",
      "steps",
      ...flags,
    ]);

  it("ends with the same weights for one to four workers, and for one that was resumed", async () => {
    const steps = ["--max-steps", "24"];
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
    assert.deepEqual([...four.keys()].length, 24);
    assert.deepEqual(await lossesOf(join(folder, "one")), four);
    assert.deepEqual(
      await lossesOf(join(folder, "resumed")),
      new Map([...four].filter(([step]) => step > 4)),
    );
    const weights = await weightsOf(join(folder, "four"));
    const evaluations = await evaluationsOf(join(folder, "four"));
    assert.deepEqual([...evaluations.keys()], [8, 16, 24]);
    for (const metrics of evaluations.values()) assert.ok("eval_accuracy" in metrics);
    for (const name of ["one", "two", "three", "resumed"]) {
      assert.equal(await weightsOf(join(folder, name)), weights, name);
      assert.deepEqual(await evaluationsOf(join(folder, name)), evaluations, name);
      const verified = startRun(["verify", join(folder, "four"), join(folder, name)]);
      assert.equal(await verified.ended, 0, verified.text());
      assert.match(verified.text(), name === "resumed" ? /Steps 5–24: / : /Steps 1–24: /u);
      assert.match(verified.text(), /The weights are the same after step .*8/u);
    }

    const state: unknown = JSON.parse(
      await readFile(join(folder, "four", "trainer_state.json"), "utf8"),
    );
    const { log_history: history } = state as { log_history: Record<string, number>[] };
    assert.ok(history.at(-1)?.["train_samples_per_second"]);
    const names = await readdir(join(folder, "four"));
    for (const name of ["config.json", "job.yaml", "events.jsonl", "checkpoint-8"]) {
      assert.ok(names.includes(name), name);
    }
    assert.ok(!names.some((name) => name.includes("partial") || name === "control.json"));
  });

  it("ends with the same weights for any number of workers in every wire format", async () => {
    const hashes: string[] = [];
    for (const wire of ["int16", "int8-block"]) {
      for (const workers of [1, 3]) {
        const name = `${wire}-${workers}`;
        const run = train(name, workers, "--max-steps", "8", "--gradient-wire", wire);
        assert.equal(await run.ended, 0, run.text());
        hashes.push(await weightsOf(join(folder, name)));
      }
    }
    assert.equal(hashes[0], hashes[1]);
    assert.equal(hashes[2], hashes[3]);
    assert.notEqual(hashes[0], hashes[2]);
  });

  it("holds the same bits on all workers as float32, and says that their number decides them", async () => {
    for (const name of ["float32-a", "float32-b"]) {
      const flags = ["--gradient-wire", "float32", "--verify-every", "3", "--max-steps", "8"];
      const run = train(name, 3, ...flags);
      assert.equal(await run.ended, 0, run.text());
      assert.match(run.text(), /--gradient-wire float32: the result's bits depend on the number/u);
    }
    const again = startRun(["verify", join(folder, "float32-a"), join(folder, "float32-b")]);
    assert.equal(await again.ended, 0, again.text());
    const job = await readFile(join(folder, "float32-a", "job.yaml"), "utf8");
    assert.match(
      job,
      /gradient-wire: float32 # the result's bits depend on the number of workers/u,
    );
    const other = startRun(["verify", join(folder, "float32-a"), join(folder, "one")]);
    assert.equal(await other.ended, 1, other.text());
    assert.match(other.text(), /gradient-wire +float32 +int32/u);
  });

  it("leaves nothing behind when its coordinator is killed, is told as crashed, and goes on with other workers", async () => {
    const output = join(folder, `orphaned-${basename(folder)}`);
    const run = train(output, 2, "--max-steps", "24");
    await run.until("checkpoint-4\n");
    const ports = await portsOf(output);
    run.child.kill("SIGKILL");
    assert.equal(await run.ended, "SIGKILL");
    await nothingLeft(output, ports);

    const listing = startRun(["runs", output, "--format", "jsonl"]);
    assert.equal(await listing.ended, 0, listing.text());
    assert.equal((JSON.parse(listing.text()) as { state: string }).state, "crashed");

    // As a machine that went down would leave them.
    await mkdir(join(output, "nats", "jetstream"), { recursive: true });
    await writeFile(join(output, "control.json"), "{}");
    const last = ["--resume-from-checkpoint", "last", "--output-dir", output, "--workers", "3"];
    const resumed = startRun(last);
    assert.equal(await resumed.ended, 0, resumed.text());
    await nothingLeft(output, []);
    assert.equal(await weightsOf(output), await weightsOf(join(folder, "four")));
  });
});
