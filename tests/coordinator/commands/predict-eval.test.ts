/** `coordinator predict` and `coordinator eval` as a user types them, on a model of two thousand parameters. */
import assert from "node:assert/strict";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { ensureNativeParts } from "../../../foundation/native/native-parts.ts";
import { runIn, type Said } from "../../support/one-shot.ts";
import { writeTinyBert } from "../../support/tiny-bert.ts";

const lookMs = 50;
const silent = { begin: () => ({ advance: () => {}, end: () => {} }) };
const prediction = z.strictObject({
  label: z.enum(["bad", "good"]),
  score: z.number().min(0).max(1),
  logits: z.array(z.number()).length(2),
});
type Prediction = z.infer<typeof prediction>;

let folder = "";

function coordinator(args: readonly string[], stdin?: string): Promise<Said> {
  return runIn(folder, args, stdin === undefined ? {} : { stdin });
}

function jsonLines(said: Said): readonly Prediction[] {
  assert.equal(said.code, 0, said.stderr);
  return said.stdout
    .trimEnd()
    .split("\n")
    .map((line) => prediction.parse(JSON.parse(line)));
}

/** Ids of processes that were started with this in their environment. */
async function processesWith(text: string): Promise<readonly string[]> {
  const ids = (await readdir("/proc")).filter((name) => /^\d+$/u.test(name));
  const found = await Promise.all(
    ids.map(async (id) => {
      const environment = await readFile(`/proc/${id}/environ`, "utf8").catch(() => "");
      return environment.includes(text) ? [id] : [];
    }),
  );
  return found.flat();
}

/** Texts of many lengths, so that sorting by length would show in the order. */
const texts = Array.from({ length: 40 }, (_, row) => "abcdefgh".slice(0, 1 + ((row * 5) % 8)));

function assertNear(actual: readonly Prediction[], expected: readonly Prediction[]): void {
  assert.equal(actual.length, expected.length);
  actual.forEach(({ label, logits }, row) => {
    assert.equal(label, expected[row]?.label);
    logits.forEach((logit, column) => {
      const other = expected[row]?.logits[column] ?? Number.NaN;
      assert.ok(Math.abs(logit - other) < 1e-4, `row ${row}: ${logit} and ${other}`);
    });
  });
}

describe("coordinator predict and eval", () => {
  before(async () => {
    const { signal } = new AbortController();
    await ensureNativeParts({ env: process.env, device: "cpu", progress: silent, signal });
    folder = await mkdtemp(join(tmpdir(), "predict-"));
    const labels = { id2label: { 0: "bad", 1: "good" }, label2id: { bad: 0, good: 1 } };
    await writeTinyBert(join(folder, "model"), labels);
    await writeFile(join(folder, "texts.tsv"), ["text", ...texts, ""].join("\n"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  it("say the same of texts from a file, from standard input and from the command line, in their order", async () => {
    const asJson = ["--model", "model", "--format", "jsonl"];
    const fromFile = jsonLines(
      await coordinator(["predict", ...asJson, "--file", "texts.tsv", "--batch-size", "4"]),
    );
    assert.equal(fromFile.length, texts.length);
    const distinct = new Set(fromFile.map(({ logits }) => JSON.stringify(logits)));
    assert.ok(distinct.size > 4, "the texts differ in what is said of them");
    const piped = await coordinator(
      ["predict", ...asJson, "--workers", "2", "--batch-size", "4"],
      `${texts.join("\n")}\n`,
    );
    assertNear(jsonLines(piped), fromFile);
    const few = texts.slice(0, 3);
    assertNear(jsonLines(await coordinator(["predict", ...few, ...asJson])), fromFile.slice(0, 3));
  });

  it("say the same bits whatever the number of workers and of their threads", async () => {
    const asked = ["predict", "--model", "model", "--format", "jsonl", "--batch-size", "4"];
    const by = async (...flags: readonly string[]): Promise<string> => {
      const said = await coordinator([...asked, "--file", "texts.tsv", ...flags]);
      assert.equal(said.code, 0, said.stderr);
      return said.stdout;
    };
    const one = await by();
    assert.equal(await by("--workers", "3"), one);
    assert.equal(await by("--workers", "1", "--threads-per-worker", "2"), one);
  });

  it("multiply in bfloat16 when asked to: near, and not the same", async () => {
    // Forced, for the sake of processors without: these matrices are small.
    const asked = ["predict", ...texts.slice(0, 8), "--model", "model", "--format", "jsonl"];
    const whole = jsonLines(await coordinator(asked));
    const narrow = jsonLines(await coordinator([...asked, "--bf16", "--force-bf16"]));
    const apart = whole.flatMap(({ logits }, row) =>
      logits.map((logit, column) => Math.abs(logit - narrow[row]!.logits[column]!)),
    );
    assert.ok(Math.max(...apart) < 0.05, `${Math.max(...apart)}`);
    assert.ok(Math.max(...apart) > 0, "the same");
  });

  it("end the workers that have been started when the model turns out to be of no use", async () => {
    const temporary = join(folder, "temporary");
    await mkdir(temporary);
    // Told after the model is loaded, while workers start.
    const asked = ["predict", "abc", "--model", "model", "--max-length", "100000"];
    const said = await runIn(folder, asked, {
      env: { ...process.env, TMPDIR: temporary },
    });
    assert.equal(said.code, 2, said.stderr);
    assert.deepEqual(await readdir(temporary), [], "their logs are removed");
    // What was killed takes the system a moment to clear away; what was not would be here until the test's own time is over.
    while ((await processesWith(temporary)).length > 0) await sleep(lookMs);
  });

  it("write a line for people: label, score, text", async () => {
    const said = await coordinator(["predict", "abc", "--text-pair", "de", "--model", "model"]);
    assert.equal(said.code, 0, said.stderr);
    assert.match(said.stdout, /^(bad|good) *[01]\.\d{4} {2}abc \| de\n$/);
  });

  it("give the metrics that the predictions make, in both formats", async () => {
    const predicted = jsonLines(
      await coordinator([
        "predict",
        "--model",
        "model",
        "--format",
        "jsonl",
        "--file",
        "texts.tsv",
      ]),
    );
    // Three of four are labelled as they are predicted.
    const rows = texts.map((text, row) => {
      const said = predicted[row]?.label ?? "";
      return `${text}\t${row % 4 === 0 ? (said === "good" ? "bad" : "good") : said}`;
    });
    await writeFile(join(folder, "dev.tsv"), ["text\tlabel", ...rows, ""].join("\n"));
    const json = await coordinator(["eval", "dev.tsv", "--model", "model", "--format", "jsonl"]);
    assert.equal(json.code, 0, json.stderr);
    const metrics = z.record(z.string(), z.number()).parse(JSON.parse(json.stdout));
    assert.equal(metrics["samples"], 40);
    assert.equal(metrics["accuracy"], 0.75);
    const losses = predicted.map(({ score }, row) => -Math.log(row % 4 === 0 ? 1 - score : score));
    const mean = losses.reduce((sum, loss) => sum + loss, 0) / losses.length;
    assert.ok(Math.abs((metrics["loss"] ?? 0) - mean) < 1e-4, `${metrics["loss"]} and ${mean}`);
    const text = await coordinator(["eval", "dev.tsv", "--model", "model"]);
    assert.match(text.stdout, /^samples +40\n/);
    assert.match(text.stdout, /accuracy +0\.7500\n/);
  });
});
