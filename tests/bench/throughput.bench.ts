/**
 * `npm run bench:throughput [-- ROUNDS STEPS]`: samples/s of 1, 2 and 4 workers beside PyTorch DDP over gloo, in turn, at
 * MiniLM's shape (6 layers, hidden 384), 8 rows of 128 tokens per worker, fp32, the model's own dropout on both sides.
 * Ours is the real program, every worker a process, the exchange and the update included; the first steps are left out.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { describeCpu } from "./support/cpu.ts";
import { readEvents, runCoordinator } from "./support/coordinator.ts";
import { runPeer } from "./support/peer-python.ts";
import { formatSpread, formatTable, median, spreadOf } from "./support/statistics.ts";
import { ensureQuickstart } from "../../coordinator/quickstart/quickstart.ts";
import { createProgressSink } from "../../foundation/native/progress.ts";

const worldSizes = [1, 2, 4];
const rows = 8;
const tokens = 128;
const warmUpSteps = 4;
const rounds = Number(process.argv[2] ?? 7);
const steps = Number(process.argv[3] ?? 12);

const peerSchema = z.object({
  stepMs: z.array(z.number()),
  torch: z.string(),
  transformers: z.string(),
  threadsPerRank: z.number(),
});
const stepSchema = z.object({ step: z.coerce.number(), samples: z.number(), stepMs: z.number() });

/** Enough long texts that every row fills its 128 tokens. */
function writeTexts(file: string): void {
  const words =
    "the quick brown fox jumps over a lazy dog while seven wizards mix jade potions".split(" ");
  const lines = Array.from({ length: 4096 }, (_, i) => {
    const text = Array.from(
      { length: 160 },
      (_, k) => words[(i * 7 + k * (1 + (i % 5))) % words.length],
    );
    return JSON.stringify({ text: `${i} ${text.join(" ")}`, label: i % 2 === 0 ? "a" : "b" });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
}

async function oursOnce(folder: string, model: string, worldSize: number): Promise<number> {
  const output = join(folder, "run");
  rmSync(output, { recursive: true, force: true });
  await runCoordinator([
    "--model",
    model,
    "--train-file",
    join(folder, "train.jsonl"),
    "--workers",
    String(worldSize),
    "--output-dir",
    output,
    "--per-device-train-batch-size",
    String(rows),
    "--train-batch-size",
    String(rows * worldSize),
    "--max-length",
    String(tokens),
    "--padding",
    "max_length",
    "--max-steps",
    String(steps + warmUpSteps),
    "--eval-strategy",
    "no",
    "--save-strategy",
    "no",
  ]);
  const measured = readEvents(output, "stepCommitted", stepSchema).slice(warmUpSteps);
  return (rows * worldSize * 1000) / median(measured.map((event) => event.stepMs));
}

async function main(): Promise<void> {
  const cpu = describeCpu();
  const folder = mkdtempSync(join(tmpdir(), "ringmaster-bench-"));
  const { modelFolder } = await ensureQuickstart({
    env: process.env,
    progress: createProgressSink({
      output: process.stderr,
      isTerminal: process.stderr.isTTY,
      now: () => performance.now(),
    }),
    signal: new AbortController().signal,
  });
  writeTexts(join(folder, "train.jsonl"));
  const ours = new Map(worldSizes.map((size): [number, number[]] => [size, []]));
  const theirs = new Map(worldSizes.map((size): [number, number[]] => [size, []]));
  let versions = { torch: "", transformers: "" };
  for (let round = 0; round < rounds; round++) {
    for (const size of worldSizes) {
      const peer = await runPeer(
        "ddp_step.py",
        [size, steps + warmUpSteps, rows, tokens].map(String),
        peerSchema,
      );
      versions = { torch: peer.torch, transformers: peer.transformers };
      theirs.get(size)?.push((rows * size * 1000) / median(peer.stepMs.slice(warmUpSteps)));
      ours.get(size)?.push(await oursOnce(folder, modelFolder, size));
      process.stderr.write(`round ${round + 1} of ${rounds}, ${size} workers\n`);
    }
  }
  rmSync(folder, { recursive: true });
  const results = worldSizes.map((size) => {
    const our = ours.get(size) ?? [];
    const their = theirs.get(size) ?? [];
    const ratios = our.map((value, i) => value / (their[i] ?? Number.NaN));
    return {
      workers: size,
      ours: spreadOf(our),
      pytorch: spreadOf(their),
      ratio: spreadOf(ratios),
    };
  });
  console.log(`CPU: ${cpu.name}, ${cpu.cores} cores, ${cpu.flags.join(" ")}`);
  console.log(
    `samples/s, MiniLM shape, ${rows} × ${tokens} per worker, fp32, dropout 0.1, ${rounds} rounds in turn`,
  );
  console.log(
    formatTable([
      ["workers", "Ringmaster", "PyTorch DDP (gloo)", "ratio"],
      ...results.map((r) => [
        String(r.workers),
        formatSpread(r.ours),
        formatSpread(r.pytorch),
        formatSpread(r.ratio, 2),
      ]),
    ]),
  );
  console.log(JSON.stringify({ bench: "throughput", cpu, versions, rounds, steps, results }));
}

await main();
