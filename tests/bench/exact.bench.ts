/**
 * `npm run bench:exact -- DATA_FOLDER [STEPS] [--bf16]`: the SHA-256 of the final model.safetensors of MiniLM on MRPC, with the
 * model's own dropout, clipping and several lengths, for 1, 2, 3 and 4 workers at the same global batch, for 4 with the
 * global batch said by gradient accumulation, and resumed from a checkpoint with another number of workers. One hash is what is wanted;
 * `coordinator verify` must find every step of all of them equal to those of one worker.
 * DATA_FOLDER holds msr_paraphrase_train.txt.
 */
import { createHash } from "node:crypto";
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { readJournal } from "../../coordinator/run/journal.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { describeCpu } from "./support/cpu.ts";
import { runCoordinator } from "./support/coordinator.ts";
import { formatTable } from "./support/statistics.ts";

const stepsByDefault = 12;
const places = process.argv.slice(2).filter((argument) => argument !== "--bf16");
const bf16 = process.argv.includes("--bf16");
const dataFolder = places[0] ?? "";
const steps = Number(places[1] ?? stepsByDefault);
const half = Math.floor(steps / 2);

interface Row {
  readonly name: string;
  readonly workers: string;
  readonly sha256: string;
  readonly seconds: number;
  readonly lastLoss: number;
}

async function trainOnce(
  name: string,
  workers: string,
  output: string,
  args: readonly string[],
): Promise<Row> {
  const start = performance.now();
  await runCoordinator([...args, "--output-dir", output]);
  const sha256 = createHash("sha256")
    .update(readFileSync(join(output, "model.safetensors")))
    .digest("hex");
  const journal = await readJournal(join(output, "journal.jsonl"));
  const last = journal.findLast((record) => record.kind === "step");
  const seconds = (performance.now() - start) / 1000;
  process.stderr.write(`${name}: ${sha256.slice(0, 16)} (${seconds.toFixed(0)} s)\n`);
  return { name, workers, sha256, seconds, lastLoss: last?.kind === "step" ? last.loss : NaN };
}

async function main(): Promise<void> {
  const trainFile = join(dataFolder, "msr_paraphrase_train.txt");
  if (!existsSync(trainFile)) {
    const reason = `msr_paraphrase_train.txt is not in "${dataFolder}"`;
    console.log(`Skipped: ${reason}`);
    console.log(JSON.stringify({ bench: "exact", skipped: reason }));
    return;
  }
  const modelFolder = await ensureMiniLm();
  const folder = mkdtempSync(join(tmpdir(), "ringmaster-exact-"));
  const job = (workers: number, ...more: string[]): string[] => [
    "--model",
    modelFolder,
    "--train-file",
    trainFile,
    "--text-column",
    "#1 String",
    "--text-pair-column",
    "#2 String",
    "--label-column",
    "Quality",
    "--per-device-train-batch-size",
    "8",
    "--max-grad-norm",
    "0.5",
    "--weight-decay",
    "0.01",
    "--max-length",
    "128",
    "--max-steps",
    String(steps),
    "--eval-strategy",
    "no",
    "--workers",
    String(workers),
    ...(bf16 ? ["--bf16"] : []),
    ...more,
  ];
  const batch = ["--train-batch-size", "32"];
  const unsaved = ["--save-strategy", "no"];
  try {
    const rows: Row[] = [];
    for (const workers of [1, 2, 3, 4]) {
      const output = join(folder, `workers-${workers}`);
      // The run of two workers is the one that is gone on from.
      const saved = ["--save-strategy", "steps", "--save-steps", String(half)];
      const args = job(workers, ...batch, ...(workers === 2 ? saved : unsaved));
      rows.push(await trainOnce(`${workers} workers`, String(workers), output, args));
    }
    const accumulated = job(4, "--gradient-accumulation-steps", "1", ...unsaved);
    const other = join(folder, "accumulated");
    rows.push(await trainOnce("batch by accumulation", "4", other, accumulated));
    const checkpoint = join(folder, "workers-2", `checkpoint-${half}`);
    const resume = ["--resume-from-checkpoint", checkpoint, "--workers", "3"];
    const resumed = join(folder, "resumed");
    rows.push(await trainOnce(`resumed after ${half}`, "2, then 3", resumed, resume));
    const one = join(folder, "workers-1");
    const reports: string[] = [];
    for (const other of ["workers-2", "workers-3", "workers-4", "accumulated", "resumed"]) {
      reports.push(await runCoordinator(["verify", one, join(folder, other)]));
    }
    console.log(`coordinator verify of 1 worker and 3:\n\n${reports[1]}`);
    const isOne = new Set(rows.map(({ sha256 }) => sha256)).size === 1;
    console.log(
      `MiniLM on MRPC, ${steps} steps of 4 microbatches of 8, dropout 0.1, clipping 0.5, ${bf16 ? "bf16" : "fp32"}`,
    );
    console.log(
      formatTable([
        ["run", "workers", "last loss", "seconds", "SHA-256 of model.safetensors"],
        ...rows.map((row) => [
          row.name,
          row.workers,
          String(row.lastLoss),
          row.seconds.toFixed(0),
          row.sha256,
        ]),
      ]),
    );
    console.log(isOne ? "One hash." : "NOT one hash.");
    process.exitCode = isOne ? 0 : 1;
    console.log(JSON.stringify({ bench: "exact", cpu: describeCpu(), steps, bf16, isOne, rows }));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await main();
