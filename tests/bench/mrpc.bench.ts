/**
 * `npm run bench:mrpc -- DATA_FOLDER [SEEDS]`: MiniLM on MRPC, batch 32, 3 epochs, learning rate 5e-5, decay 0.01, 4 workers:
 * accuracy and F1 after each epoch beside transformers' Trainer with the same settings, means over the seeds.
 * DATA_FOLDER holds msr_paraphrase_{train,test}.txt. RINGMASTER_BENCH_PEER_RESULTS names a file of the Trainer's JSON
 * lines from an earlier run with the same versions, so that the slow side need not run again.
 */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { z } from "zod";
import { describeCpu } from "./support/cpu.ts";
import { readEvents, runCoordinator } from "./support/coordinator.ts";
import { runPeer } from "./support/peer-python.ts";
import { formatTable, spreadOf } from "./support/statistics.ts";
import { ensureQuickstart } from "../../coordinator/quickstart/quickstart.ts";
import { createProgressSink } from "../../foundation/native/progress.ts";

const dataFolder = process.argv[2] ?? "";
const seedCount = Number(process.argv[3] ?? 3);
const epochs = 3;

const evaluationSchema = z.object({ epoch: z.number(), accuracy: z.number(), f1: z.number() });
const peerSchema = z.object({
  seed: z.number(),
  evaluations: z.array(evaluationSchema),
  torch: z.string(),
  transformers: z.string(),
});
const eventSchema = z.object({ epoch: z.number(), metrics: z.record(z.string(), z.number()) });

type Evaluation = z.infer<typeof evaluationSchema>;

async function oursOnce(
  model: string,
  train: string,
  test: string,
  seed: number,
): Promise<Evaluation[]> {
  const output = mkdtempSync(join(tmpdir(), "ringmaster-mrpc-"));
  try {
    await runCoordinator([
      "--model",
      model,
      "--train-file",
      train,
      "--validation-file",
      test,
      "--workers",
      "4",
      "--output-dir",
      output,
      "--overwrite-output-dir",
      "--text-column",
      "#1 String",
      "--text-pair-column",
      "#2 String",
      "--label-column",
      "Quality",
      "--per-device-train-batch-size",
      "8",
      "--train-batch-size",
      "32",
      "--per-device-eval-batch-size",
      "32",
      "--learning-rate",
      "5e-5",
      "--weight-decay",
      "0.01",
      "--num-train-epochs",
      String(epochs),
      "--max-length",
      "128",
      "--seed",
      String(seed),
      "--save-strategy",
      "no",
    ]);
    return readEvents(output, "evaluationCompleted", eventSchema).map(({ epoch, metrics }) => ({
      epoch,
      accuracy: metrics["accuracy"] ?? Number.NaN,
      f1: metrics["f1"] ?? Number.NaN,
    }));
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

function storedPeerResults(): z.infer<typeof peerSchema>[] {
  const file = process.env["RINGMASTER_BENCH_PEER_RESULTS"];
  if (file === undefined) return [];
  const lines = readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => line.startsWith("{"));
  return lines.map((line) => peerSchema.parse(JSON.parse(line)));
}

async function main(): Promise<void> {
  const train = join(dataFolder, "msr_paraphrase_train.txt");
  const test = join(dataFolder, "msr_paraphrase_test.txt");
  if (!existsSync(train) || !existsSync(test)) {
    console.error(
      `Expected msr_paraphrase_train.txt and msr_paraphrase_test.txt in "${dataFolder}"`,
    );
    process.exit(2);
  }
  const { modelFolder } = await ensureQuickstart({
    env: process.env,
    progress: createProgressSink({
      output: process.stderr,
      isTerminal: process.stderr.isTTY,
      now: () => performance.now(),
    }),
    signal: new AbortController().signal,
  });
  const stored = storedPeerResults();
  const ours: Evaluation[][] = [];
  const theirs: Evaluation[][] = [];
  const versions = { torch: "", transformers: "" };
  for (let seed = 42; seed < 42 + seedCount; seed++) {
    ours.push(await oursOnce(modelFolder, train, test, seed));
    const peer =
      stored.find((result) => result.seed === seed) ??
      (await runPeer(
        "mrpc_trainer.py",
        [modelFolder, train, test, String(seed), String(epochs)],
        peerSchema,
      ));
    theirs.push(peer.evaluations);
    Object.assign(versions, { torch: peer.torch, transformers: peer.transformers });
    process.stderr.write(
      `seed ${seed}: ours ${JSON.stringify(ours.at(-1))}, Trainer ${JSON.stringify(theirs.at(-1))}\n`,
    );
  }
  const mean = (runs: Evaluation[][], epoch: number, key: "accuracy" | "f1"): number =>
    runs.reduce((sum, run) => sum + (run[epoch]?.[key] ?? Number.NaN), 0) / runs.length;
  const results = Array.from({ length: epochs }, (_, epoch) => ({
    epoch: epoch + 1,
    ours: { accuracy: mean(ours, epoch, "accuracy"), f1: mean(ours, epoch, "f1") },
    trainer: { accuracy: mean(theirs, epoch, "accuracy"), f1: mean(theirs, epoch, "f1") },
    oursSpread: spreadOf(ours.map((run) => run[epoch]?.accuracy ?? Number.NaN)),
    trainerSpread: spreadOf(theirs.map((run) => run[epoch]?.accuracy ?? Number.NaN)),
  }));
  const percent = (value: number): string => (100 * value).toFixed(2);
  console.log(`MRPC, MiniLM, batch 32, ${epochs} epochs, lr 5e-5, decay 0.01, ${seedCount} seeds`);
  console.log(
    formatTable([
      ["epoch", "accuracy", "Trainer's", "F1", "Trainer's", "difference (points)"],
      ...results.map((r) => [
        String(r.epoch),
        percent(r.ours.accuracy),
        percent(r.trainer.accuracy),
        percent(r.ours.f1),
        percent(r.trainer.f1),
        `${percent(r.ours.accuracy - r.trainer.accuracy)} / ${percent(r.ours.f1 - r.trainer.f1)}`,
      ]),
    ]),
  );
  console.log(
    JSON.stringify({ bench: "mrpc", cpu: describeCpu(), versions, seeds: seedCount, results }),
  );
}

await main();
