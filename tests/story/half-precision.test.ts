/**
 * The story of a run with --fp16: its first loss scale is too large, the step is skipped and the scale halved, with the same
 * bits for any number of workers, and for a run that was resumed; the scale grows again after enough good steps.
 */
import assert from "node:assert/strict";
import { cp, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJournal } from "../../coordinator/run/journal.ts";
import type { LossScale } from "../../coordinator/run/loss-scale.ts";
import { hashOf, lossesOf, startRun } from "../support/story-run.ts";
import { writeTinyBert } from "../support/tiny-bert.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

describe("a run in half precision", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "half-precision-"));
    job = join(folder, "job.yaml");
    const saves = ["eval-strategy: no", "save-strategy: steps", "save-steps: 6"];
    await writeFile(job, await writeTinyJob(folder, saves));
    // A steep classifier: the first loss scale leaves its gradients no room in 16-bit floats.
    await writeTinyBert(join(folder, "steep"), {}, 20);
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const outputOf = (name: string): string => join(folder, name);
  const half = ["--fp16", "--force-fp16"];

  async function train(name: string, ...flags: string[]): Promise<string> {
    const run = startRun([
      "train",
      job,
      "--model",
      join(folder, "steep"),
      "--max-steps",
      "12",
      "--output-dir",
      outputOf(name),
      ...flags,
    ]);
    assert.equal(await run.ended, 0, run.text());
    return run.text();
  }

  async function resume(name: string, checkpoint: string, ...flags: string[]): Promise<void> {
    const from = ["--resume-from-checkpoint", checkpoint, "--output-dir", outputOf(name)];
    const run = startRun(["train", ...from, ...flags]);
    assert.equal(await run.ended, 0, run.text());
  }

  /** `step:scale`, with `!` where the step was skipped. */
  async function courseOf(name: string): Promise<readonly string[]> {
    const records = await readJournal(join(outputOf(name), "journal.jsonl"));
    return records.flatMap((record) => {
      if (record.kind === "step") return [`${record.step}:${record.lossScale}`];
      return record.kind === "skipped" ? [`${record.step}:${record.lossScale}!`] : [];
    });
  }

  const scaleOf = async (checkpoint: string): Promise<LossScale | null> =>
    (
      JSON.parse(await readFile(join(checkpoint, "resume.json"), "utf8")) as {
        lossScale: LossScale;
      }
    ).lossScale;

  it("skips what overflows, and ends with the same weights for one worker, three, and resumed", async () => {
    const text = await train("one", ...half, "--workers", "1");
    const course = await courseOf("one");
    assert.equal(course[0], "1:65536!", course.join(" "));
    assert.equal(course.length, 12);
    assert.ok(!course.at(-1)?.endsWith("!"), course.join(" "));
    assert.match(text, /step 1 is skipped: .* at loss scale 65536, now 32768/u);

    await train("three", ...half, "--workers", "3");
    await resume("resumed", join(outputOf("one"), "checkpoint-6"), "--workers", "2");
    assert.deepEqual(await courseOf("three"), course);
    assert.deepEqual(await courseOf("resumed"), course.slice(6));
    const weights = await hashOf(join(outputOf("one"), "model.safetensors"));
    for (const name of ["three", "resumed"]) {
      assert.equal(await hashOf(join(outputOf(name), "model.safetensors")), weights, name);
      const verified = startRun(["verify", outputOf("one"), outputOf(name)]);
      assert.equal(await verified.ended, 0, verified.text());
    }
    const lastSkipped = 1 + course.findLastIndex((step) => step.endsWith("!"));
    const skippedSteps = course.filter((step) => step.endsWith("!")).length;
    assert.deepEqual(await scaleOf(join(outputOf("one"), "checkpoint-12")), {
      scale: 65_536 / 2 ** skippedSteps,
      goodSteps: 12 - lastSkipped,
      skippedSteps,
    });
  });

  it("trains as float32 does, to its rounding, where nothing is skipped", async () => {
    const checkpoint = join(outputOf("one"), "checkpoint-6");
    const scale = await scaleOf(checkpoint);
    const whole = outputOf("whole-checkpoint");
    await cp(checkpoint, whole, { recursive: true });
    const settings = await readFile(join(whole, "job.yaml"), "utf8");
    await writeFile(join(whole, "job.yaml"), settings.replace(/^fp16: true$/mu, "fp16: false"));
    await resume("whole", whole);
    const [half16, half32] = [
      await lossesOf(outputOf("resumed")),
      await lossesOf(outputOf("whole")),
    ];
    assert.deepEqual([...half16.keys()], [...half32.keys()]);
    assert.ok(scale !== null && scale.skippedSteps > 0);
    for (const [step, loss] of half16) {
      const apart = Math.abs(loss - (half32.get(step) ?? Number.NaN));
      assert.ok(apart < 2e-3, `step ${step}: ${apart}`);
      assert.notEqual(loss, half32.get(step));
    }
  });

  it("doubles the scale once enough steps were good, across a resume", async () => {
    const checkpoint = outputOf("long-checkpoint");
    await cp(join(outputOf("one"), "checkpoint-6"), checkpoint, { recursive: true });
    const file = join(checkpoint, "resume.json");
    const point = JSON.parse(await readFile(file, "utf8")) as { lossScale: LossScale };
    const lossScale = { ...point.lossScale, scale: 64, goodSteps: 1998 };
    await writeFile(file, JSON.stringify({ ...point, lossScale }));
    await resume("long", checkpoint);
    const course = await courseOf("long");
    assert.deepEqual(course, ["7:64", "8:64", "9:128", "10:128", "11:128", "12:128"]);
  });

  it("stops where no smaller scale helps", async () => {
    const explosion = ["--learning-rate", "100", "--weight-decay", "100", "--max-grad-norm", "0"];
    const output = ["--output-dir", outputOf("explosion"), "--max-steps", "200"];
    const run = startRun(["train", job, ...half, ...explosion, ...output]);
    assert.equal(await run.ended, 2, run.text());
    assert.match(run.text(), /expected a finite loss and gradient at step \d+/u);
    const course = await courseOf("explosion");
    assert.ok(course.at(-1)?.endsWith(":2!"), course.join(" "));
  });
});
