/** A loss that stops being a number: found only while training, so this row needs the native parts and a few seconds. */
import assert from "node:assert/strict";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { ensureNativeParts } from "../../foundation/native/native-parts.ts";
import { writeTinyBert } from "../support/tiny-bert.ts";
import { runIn } from "../support/one-shot.ts";

/** Weights grow ten-thousandfold a step and are infinite after a few. */
const explosion = ["--learning-rate", "100", "--weight-decay", "100", "--max-grad-norm", "0"];

const silent = { begin: () => ({ advance: () => {}, end: () => {} }) };

describe("a loss that is no number", () => {
  it("stops the run at its step, names it, and keeps the last good checkpoint", async () => {
    const signal = new AbortController().signal;
    await ensureNativeParts({ env: process.env, device: "cpu", progress: silent, signal });
    const folder = await mkdtemp(join(tmpdir(), "not-finite-"));
    try {
      await writeTinyBert(join(folder, "model"));
      const rows = Array.from({ length: 40 }, (_, row) => (row % 2 === 0 ? "a b\tx" : "c d\ty"));
      await writeFile(join(folder, "train.tsv"), ["text\tlabel", ...rows, ""].join("\n"));
      const job = ["--model", "model", "--train-file", "train.tsv", "--num-train-epochs", "20"];
      const saves = ["--save-strategy", "steps", "--save-steps", "1", "--output-dir", "out"];
      const { code, stdout, stderr } = await runIn(folder, [...job, ...saves, ...explosion], {});
      assert.equal(code, 2, `${stdout}\n${stderr}`);
      const told =
        /^coordinator: expected a finite loss.* at step (\d+).*out\/checkpoint-(\d+)\)\n$/;
      const [, step = "", kept = ""] = told.exec(stderr) ?? [];
      assert.equal(Number(kept), Number(step) - 1, stderr);
      const names = await readdir(join(folder, "out"));
      assert.ok(names.includes(`checkpoint-${kept}`), names.join(" "));
      assert.ok(!names.includes(`checkpoint-${step}`), names.join(" "));
      assert.ok(!names.includes("model.safetensors"), "no final model");
      const weights = await readFile(
        join(folder, "out", `checkpoint-${kept}`, "model.safetensors"),
      );
      assert.ok(weights.length > 1000);
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});
