/**
 * What decides the bits of a run, and what does not: in bfloat16, with length buckets, with clipping that bites, and however
 * the global batch is said, one worker or several end with the same weights and metrics.
 */
import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJournal } from "../../coordinator/run/journal.ts";
import { evaluationsOf, hashOf, lossesOf, startRun } from "../support/story-run.ts";
import { writeTinyJob } from "../support/tiny-job.ts";

/** Tokens of the samples, in turn: a letter each, beside those at the start and the end. */
const lengths = [6, 14, 30];
const buckets = [8, 16, 32];
const samples = 96;
const steps = samples / 8;

/** Samples of each length, of two kinds. */
function mixedLengths(): string {
  const rows = Array.from({ length: samples }, (_, row) => {
    const label = row % 2;
    const tokens = lengths[row % lengths.length] ?? 0;
    const letters = Array.from({ length: tokens - 2 }, (_, at) => "abcxyz"[3 * label + (at % 3)]);
    return `${letters.join(" ")},${label}`;
  });
  return `text,label\n${rows.join("\n")}\n`;
}

describe("the bits of a run", () => {
  let folder: string;
  let job: string;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "same-bits-"));
    job = join(folder, "job.yaml");
    const changes = ["eval-strategy: steps", "eval-steps: 4", "max-grad-norm: 0"];
    const text = await writeTinyJob(folder, [...changes, "save-strategy: no"]);
    const other = { "max-steps": steps, "max-length": 32 };
    await writeFile(
      job,
      Object.entries(other).reduce(
        (changed, [key, value]) =>
          changed.replace(new RegExp(`^${key}: .*$`, "mu"), `${key}: ${value}`),
        text,
      ),
    );
    await writeFile(join(folder, "train.csv"), mixedLengths());
  });
  after(() => rm(folder, { recursive: true, force: true }));

  const outputOf = (name: string): string => join(folder, name);
  const weightsOf = (name: string) => hashOf(join(outputOf(name), "model.safetensors"));

  async function succeed(args: readonly string[]): Promise<string> {
    const run = startRun(args);
    assert.equal(await run.ended, 0, run.text());
    return run.text();
  }

  const train = (name: string, workers: number, ...flags: string[]): Promise<string> =>
    succeed(["train", job, "--workers", String(workers), "--output-dir", outputOf(name), ...flags]);

  /** Two runs have the same steps, metrics and weights; `from` is the step that the second went on from. */
  async function assertSame(name: string, other: string, from = 0): Promise<void> {
    const losses = await lossesOf(outputOf(name));
    assert.equal(losses.size, steps);
    const rest = new Map([...losses].filter(([step]) => step > from));
    assert.deepEqual(await lossesOf(outputOf(other)), rest, other);
    const evaluations = await evaluationsOf(outputOf(name));
    assert.deepEqual([...evaluations.keys()], [4, 8, 12]);
    assert.deepEqual(await evaluationsOf(outputOf(other)), evaluations, other);
    assert.equal(await weightsOf(other), await weightsOf(name), other);
    await succeed(["verify", outputOf(name), outputOf(other)]);
  }

  it("do not depend on how the global batch comes about, by workers or by accumulation", async () => {
    await train("at-once", 4, "--gradient-accumulation-steps", "1");
    for (const [name, workers, turns] of [
      ["two-turns", 2, "2"],
      ["four-turns", 1, "4"],
    ] as const) {
      await train(name, workers, "--gradient-accumulation-steps", turns);
      await assertSame("at-once", name);
    }
  });

  it("are those of bfloat16 for one worker, three, and resumed with two", async () => {
    const narrow = ["--bf16", "--force-bf16"];
    const saves = ["--save-strategy", "steps", "--save-steps", "4"];
    await train("narrow-one", 1, ...narrow, ...saves);
    await train("narrow-three", 3, ...narrow);
    const checkpoint = join(outputOf("narrow-one"), "checkpoint-4");
    const resumed = ["--resume-from-checkpoint", checkpoint, "--workers", "2"];
    await succeed(["train", ...resumed, "--output-dir", outputOf("narrow-resumed")]);
    await assertSame("narrow-one", "narrow-three");
    await assertSame("narrow-one", "narrow-resumed", 4);
    assert.notEqual(await weightsOf("narrow-one"), await weightsOf("at-once"));
  });

  it("are the same for one worker and three where sequences are padded to buckets", async () => {
    const flags = ["--padding", "bucket", "--bucket-lengths", ...buckets.map(String)];
    for (const [name, workers] of [
      ["buckets-one", 1],
      ["buckets-three", 3],
    ] as const) {
      const text = await train(name, workers, ...flags);
      assert.match(text, /sequences are padded to 8, 16, 32 tokens/u);
      const told = /padding was (?<share>\d+) % of the computed tokens/u.exec(text);
      const share = Number(told?.groups?.["share"] ?? Number.NaN);
      // What two of the buckets would make of it at best: so all three were computed.
      const fewest = Math.min(
        ...buckets.slice(0, -1).map((shorter) => leastPadding([shorter, 32])),
      );
      assert.ok(share < 100 * fewest, `${share} % padding, at best ${fewest} with two buckets`);
    }
    await assertSame("buckets-one", "buckets-three");
  });

  it("are others where clipping bites, and the same for one worker and three", async () => {
    const limit = 0.02;
    for (const [name, workers] of [
      ["clipped-one", 1],
      ["clipped-three", 3],
    ] as const)
      await train(name, workers, "--max-grad-norm", String(limit));
    await assertSame("clipped-one", "clipped-three");
    const norms = await normsOf("clipped-one");
    assert.equal(norms.length, steps);
    assert.ok(
      norms.every((norm) => norm > limit),
      norms.join(" "),
    );
    // The norm is that before clipping, and the first gradient that of the same weights.
    assert.equal(norms[0], (await normsOf("at-once"))[0]);
    assert.notEqual(await weightsOf("clipped-one"), await weightsOf("at-once"));
  });

  async function normsOf(name: string): Promise<readonly number[]> {
    const records = await readJournal(join(outputOf(name), "journal.jsonl"));
    return records.flatMap((record) => (record.kind === "step" ? [record.gradNorm] : []));
  }
});

/** Share of padding where every sample is padded by itself to the next of some lengths. */
function leastPadding(among: readonly number[]): number {
  const sum = (values: readonly number[]): number => values.reduce((all, value) => all + value, 0);
  const computed = lengths.map((length) => among.find((bucket) => bucket >= length) ?? Number.NaN);
  return 1 - sum(lengths) / sum(computed);
}
