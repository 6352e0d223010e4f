/** `coordinator train` as a user types it, on a model of two thousand parameters: plan, run, resume, list. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { readJobFile } from "../../../foundation/job/job-file.ts";
import { ensureNativeParts } from "../../../foundation/native/native-parts.ts";
import { runIn, type Said } from "../../support/one-shot.ts";
import { writeTinyBert } from "../../support/tiny-bert.ts";

const silent = { begin: () => ({ advance: () => {}, end: () => {} }) };
let folder = "";

function coordinator(...args: string[]): Promise<Said> {
  return runIn(folder, args, {});
}

/** Numbers by their keys in the last training line of a run's history. */
async function historyOf(output: string): Promise<readonly Record<string, number>[]> {
  const text = await readFile(join(folder, output, "trainer_state.json"), "utf8");
  const state = JSON.parse(text) as { log_history: Record<string, number>[] };
  return state.log_history;
}

async function bucketLengthsOf(output: string): Promise<unknown> {
  const text = await readFile(join(folder, output, "job.yaml"), "utf8");
  return readJobFile(text, "job.yaml").find(({ name }) => name === "bucket-lengths")?.raw;
}

describe("coordinator train", () => {
  before(async () => {
    const { signal } = new AbortController();
    await ensureNativeParts({ env: process.env, device: "cpu", progress: silent, signal });
    folder = await mkdtemp(join(tmpdir(), "train-"));
    await writeTinyBert(join(folder, "model"));
    const rows = Array.from({ length: 60 }, (_, row) => (row % 3 === 0 ? "a b\tx" : "c d e f\ty"));
    await writeFile(join(folder, "train.tsv"), ["text\tlabel", ...rows, ""].join("\n"));
    await writeFile(join(folder, "dev.tsv"), ["text\tlabel", ...rows.slice(0, 9), ""].join("\n"));
    await writeFile(
      join(folder, "job.yaml"),
      [
        "model: model",
        "train_file: train.tsv",
        "validation-file: dev.tsv",
        "num-train-epochs: 2",
        "learning-rate: 1e-2",
        "logging-steps: 1",
        "metric-for-best-model: accuracy",
        "output-dir: out",
      ].join("\n"),
    );
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("prints the plan and writes nothing with --dry-run", async () => {
    const before = await readdir(folder);
    const { code, stdout, stderr } = await coordinator("job.yaml", "--workers", "4", "--dry-run");
    assert.equal(code, 0, stderr);
    assert.match(stdout, /global batch 32 = 4 microbatches of 8 on 4 workers/);
    assert.match(stdout, /60 to train on, 9 to evaluate/);
    assert.match(stdout, /4 in all, 2 an epoch/);
    assert.match(stdout, /sent by each of 4 workers a step/);
    assert.deepEqual(await readdir(folder), before);
  });

  it("trains, tells what it does in lines, and leaves model, settings and history", async () => {
    const { code, stdout, stderr } = await coordinator("job.yaml", "--workers", "2");
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /step 4\/4/);
    assert.match(stdout, /validation after step 2/);
    assert.match(stdout, /sequences lie one behind the other: no padding/);
    assert.match(stdout, /lengths: no sample was cut; padding was \d+ % of the computed tokens/);
    assert.match(stdout, /the model is in out\n/);
    assert.match(stdout, /coordinator predict --model out/);
    const names = await readdir(join(folder, "out"));
    for (const name of [
      "model.safetensors",
      "config.json",
      "vocab.txt",
      "job.yaml",
      "checkpoint-4",
    ]) {
      assert.ok(names.includes(name), name);
    }
    const job = await readFile(join(folder, "out", "job.yaml"), "utf8");
    const values = new Map(readJobFile(job, "job.yaml").map(({ name, raw }) => [name, raw]));
    assert.equal(values.get("train-batch-size"), "32");
    assert.equal(values.get("max-length"), "32");
    const history = await historyOf("out");
    assert.equal(history.filter((entry) => entry["eval_accuracy"] !== undefined).length, 2);
  });

  it("goes on from a checkpoint with its settings, and says what changes", async () => {
    const checkpoint = join("out", "checkpoint-2");
    const resume = ["--resume-from-checkpoint", checkpoint];
    const { code, stdout, stderr } = await coordinator(...resume, "--output-dir", "again");
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /Going on with a run/);
    const [whole, resumed] = [await historyOf("out"), await historyOf("again")];
    const losses = (history: typeof whole) =>
      history.flatMap(({ step, loss }) =>
        loss === undefined ? [] : [`${step}: ${loss.toFixed(5)}`],
      );
    assert.deepEqual(losses(resumed), losses(whole));
    const lengths = await Promise.all(["out", "again"].map(bucketLengthsOf));
    assert.deepEqual(lengths, [["32"], ["32"]], "chosen once, then the checkpoint's");
    const other = await coordinator(...resume, "--bucket-lengths", "16", "32");
    assert.equal(other.code, 2);
    assert.match(other.stderr, /--bucket-lengths: expected the checkpoint's \[32\], or nothing/);
    assert.equal(whole.length, resumed.length);
  });

  it("skips evaluation aloud without validation data, or holds a part of the data out", async () => {
    const job = ["--model", "model", "--train-file", "train.tsv", "--max-steps", "1"];
    const without = await coordinator(...job, "--dry-run");
    assert.equal(without.code, 0, without.stderr);
    assert.match(without.stdout, /60 to train on, none to evaluate/);
    assert.match(
      without.stdout,
      /evaluation is skipped; --validation-split 0\.1 holds out a tenth/,
    );
    const texts = Array.from({ length: 40 }, (_, row) => `a ${row}\t${row % 2 === 0 ? "x" : "y"}`);
    await writeFile(join(folder, "split.tsv"), ["text\tlabel", ...texts, ""].join("\n"));
    const split = ["--train-file", "split.tsv", "--validation-split", "0.1"];
    const fixed = ["--output-dir", "split", "--save-strategy", "no", "--max-steps", "1"];
    const held = await coordinator("--model", "model", ...split, ...fixed);
    assert.equal(held.code, 0, `${held.stdout}\n${held.stderr}`);
    const [, kept, out] = /(\d+) to train on, (\d+) to evaluate/.exec(held.stdout) ?? [];
    assert.equal(Number(kept) + Number(out), 40);
    assert.ok(Number(out) > 0 && Number(out) < 12, held.stdout);
    assert.match(held.stdout, /validation after step 1 /);
  });

  it("says how many samples were cut", async () => {
    const job = ["--model", "model", "--train-file", "long.tsv", "--num-train-epochs", "1"];
    const short = ["--max-length", "8", "--save-strategy", "no"];
    const rows = Array.from({ length: 16 }, (_, row) =>
      row % 4 === 0 ? "abcdefghijk\tx" : "a\ty",
    );
    await writeFile(join(folder, "long.tsv"), ["text\tlabel", ...rows, ""].join("\n"));
    const args = [...job, ...short, "--output-dir", "cut"];
    const { code, stdout, stderr } = await coordinator(...args);
    assert.equal(code, 0, `${stdout}\n${stderr}`);
    assert.match(stdout, /\n25 % of the samples were cut at 8 tokens \(--max-length\)\n/);
    assert.match(stdout, /lengths: 25 % of the samples were cut at 8 tokens/);
  });

  it("lists all runs", async () => {
    const { code, stdout } = await coordinator("runs", ".", "--format", "jsonl");
    assert.equal(code, 0);
    const runs = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    const known = new Map(runs.map((run) => [run["folder"], run]));
    for (const name of ["again", "out"]) {
      const { state, step, metric } = known.get(name) ?? {};
      assert.deepEqual([state, step, metric], ["completed", 4, "accuracy"]);
    }
    assert.equal(runs.length, 4);
  });
});
