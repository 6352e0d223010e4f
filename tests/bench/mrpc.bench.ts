/**
 * `npm run bench:mrpc -- --data FOLDER [--seeds 42,43,44 --results FILE --peer-results FILE]`: MiniLM on MRPC, batch 32, 3
 * epochs, learning rate 5e-5, decay 0.01, 4 workers: accuracy and F1 after each epoch beside transformers' Trainer with the
 * same settings, means over the seeds. FOLDER holds msr_paraphrase_{train,test}.txt.
 * Each result is appended to `--results` as it comes, and found there by the next run: ours for the same commit, the
 * Trainer's for any. `--peer-results` names a file of the Trainer's lines from an earlier run.
 * `--bf16` lets our side multiply in bfloat16, and `--gradient-wire` sends its gradients in another format than int32, for a look at
 * what that costs in accuracy.
 * `--short`: a tiny model and a part of the data, to try the harness; `--no-peer`: our side only.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { readEvents, runCoordinator } from "./support/coordinator.ts";
import { benchFolder } from "./support/leftovers.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { findMrpc, mrpcColumns, writePart, type MrpcFiles } from "./support/mrpc-files.ts";
import { runPeer } from "./support/peer-python.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { readStored, sourceVersion, store } from "./support/result-store.ts";
import { spreadOf } from "./support/statistics.ts";

const shortParts = 100;
const defaultWire = "int32";

const evaluationSchema = z.object({ epoch: z.number(), accuracy: z.number(), f1: z.number() });
const peerSchema = z.object({
  seed: z.number(),
  evaluations: z.array(evaluationSchema),
  torch: z.string(),
  transformers: z.string(),
});
const ourSchema = z.object({
  seed: z.number(),
  evaluations: z.array(evaluationSchema),
  commit: z.string(),
  bf16: z.boolean().default(false),
  wire: z.string().default(defaultWire),
});
const eventSchema = z.object({ epoch: z.number(), metrics: z.record(z.string(), z.number()) });

type Evaluation = z.infer<typeof evaluationSchema>;

interface Job extends MrpcFiles {
  readonly bf16: boolean;
  readonly wire: string;
  readonly model: string;
  readonly epochs: number;
  readonly maxLength: number;
}

async function oursOnce(job: Job, seed: number): Promise<Evaluation[]> {
  const output = benchFolder("mrpc");
  const settings = [
    ["--model", job.model],
    ["--train-file", job.train],
    ["--validation-file", job.test],
    mrpcColumns,
    ["--workers", "4"],
    ["--output-dir", output],
    ["--overwrite-output-dir"],
    ["--per-device-train-batch-size", "8"],
    ["--train-batch-size", "32"],
    ["--per-device-eval-batch-size", "32"],
    ["--learning-rate", "5e-5"],
    ["--weight-decay", "0.01"],
    ["--num-train-epochs", String(job.epochs)],
    ["--max-length", String(job.maxLength)],
    ["--seed", String(seed)],
    ["--save-strategy", "no"],
    ["--gradient-wire", job.wire],
    job.bf16 ? ["--bf16"] : [],
  ];
  try {
    await runCoordinator(settings.flat());
    const events = readEvents(output, "EvaluationCompleted", eventSchema);
    const ofEpochs = events.map(({ data: { epoch, metrics } }) => ({
      epoch,
      accuracy: metrics["accuracy"] ?? Number.NaN,
      f1: metrics["f1"] ?? Number.NaN,
    }));
    if (ofEpochs.length < job.epochs) {
      throw new Error(`Cannot compare: ${ofEpochs.length} of ${job.epochs} epochs were evaluated`);
    }
    return ofEpochs;
  } finally {
    rmSync(output, { recursive: true, force: true });
  }
}

function meansOf(runs: readonly (readonly Evaluation[])[], epoch: number) {
  const values = (key: "accuracy" | "f1"): number[] =>
    runs.map((run) => run[epoch]?.[key] ?? Number.NaN);
  const mean = (key: "accuracy" | "f1"): number =>
    values(key).reduce((sum, value) => sum + value, 0) / runs.length;
  return {
    accuracy: mean("accuracy"),
    f1: mean("f1"),
    accuracySpread: spreadOf(values("accuracy")),
  };
}

async function shortJob(
  files: MrpcFiles,
  folder: string,
  how: Pick<Job, "bf16" | "wire">,
): Promise<Job> {
  const job = {
    ...how,
    model: join(folder, "tiny"),
    train: join(folder, "train.tsv"),
    test: join(folder, "test.tsv"),
    epochs: 1,
    maxLength: bertShapes["tiny"]!.positions,
  };
  await writeRandomBert(job.model, bertShapes["tiny"]!, 0.1);
  writePart(files.train, job.train, { part: 0, parts: shortParts });
  writePart(files.test, job.test, { part: 0, parts: shortParts });
  return job;
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    data: "",
    seeds: ["42", "43", "44"],
    results: "",
    "peer-results": "",
    bf16: false,
    "gradient-wire": defaultWire,
    short: false,
    "no-peer": false,
  });
  const files = findMrpc(flags.data);
  const folder = benchFolder("mrpc");
  const commit = sourceVersion();
  const ours: (readonly Evaluation[])[] = [];
  const theirs: (readonly Evaluation[])[] = [];
  const versions = { ours: commit, torch: "", transformers: "" };
  const how = { bf16: flags.bf16, wire: flags["gradient-wire"] };
  const seeds = flags.seeds.map(Number);
  let epochs = 3;
  try {
    const job = flags.short
      ? await shortJob(files, folder, how)
      : { ...files, ...how, model: await ensureMiniLm(), epochs, maxLength: 128 };
    epochs = job.epochs;
    const storedOurs = readStored(flags.results, ourSchema).filter(
      (one) =>
        one.commit === commit &&
        one.bf16 === how.bf16 &&
        one.wire === how.wire &&
        one.evaluations.length === epochs,
    );
    const storedPeers = [flags.results, flags["peer-results"]]
      .flatMap((file) => readStored(file, peerSchema))
      .filter((one) => one.evaluations.length === epochs);
    for (const seed of seeds) {
      const found = storedOurs.find((one) => one.seed === seed);
      const own = found ?? {
        seed,
        commit,
        ...how,
        evaluations: await oursOnce(job, seed),
      };
      if (found === undefined) store(flags.results, own);
      ours.push(own.evaluations);
      tellProgress(`seed ${seed}: ours ${JSON.stringify(own.evaluations)}`);
    }
    for (const seed of flags["no-peer"] ? [] : seeds) {
      const found = storedPeers.find((one) => one.seed === seed);
      const args = [job.model, job.train, job.test, seed, epochs, job.maxLength].map(String);
      const peer = found ?? (await runPeer("mrpc_trainer.py", args, peerSchema));
      if (found === undefined) store(flags.results, peer);
      theirs.push(peer.evaluations);
      Object.assign(versions, { torch: peer.torch, transformers: peer.transformers });
      tellProgress(`seed ${seed}: Trainer ${JSON.stringify(peer.evaluations)}`);
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const results = Array.from({ length: epochs }, (_, index) => {
    const our = meansOf(ours, index);
    if (theirs.length === 0) return { epoch: index + 1, ours: our };
    const trainer = meansOf(theirs, index);
    const points = (key: "accuracy" | "f1"): number => 100 * (our[key] - trainer[key]);
    const differencePoints = { accuracy: points("accuracy"), f1: points("f1") };
    return { epoch: index + 1, ours: our, trainer, differencePoints };
  });
  const percent = (value: number | undefined): string =>
    value === undefined ? "–" : (100 * value).toFixed(2);
  const rows = [
    ["epoch", "accuracy", "Trainer's", "F1", "Trainer's", "difference (points)"],
    ...results.map((r) => [
      String(r.epoch),
      percent(r.ours.accuracy),
      percent(r.trainer?.accuracy),
      percent(r.ours.f1),
      percent(r.trainer?.f1),
      r.differencePoints === undefined
        ? "–"
        : `${r.differencePoints.accuracy.toFixed(2)} / ${r.differencePoints.f1.toFixed(2)}`,
    ]),
  ];
  const title = `MRPC, ${flags.short ? "tiny model" : "MiniLM"}, batch 32, ${epochs} epochs, lr 5e-5, decay 0.01, ${flags.bf16 ? "bf16 on our side, " : ""}${how.wire === defaultWire ? "" : `${how.wire} on our wire, `}mean of ${seeds.length} seeds`;
  printReport("mrpc", [{ title, rows }], { versions, ...how, seeds, results });
}

await runBench(main);
