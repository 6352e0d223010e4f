/**
 * `npm run bench:exact -- DATA_FOLDER [STEPS] [--padding none,bucket] [--bf16]`: the SHA-256 of the final model.safetensors of
 * MiniLM on MRPC, with the model's own dropout, clipping and several lengths, for 1, 2, 3 and 4 workers at the same global batch,
 * for 4 with the global batch said by gradient accumulation, and resumed from a checkpoint with another number of workers. One
 * hash is what is wanted, for each kind of padding; `coordinator verify` must find every step of all of them equal to those of one worker.
 * DATA_FOLDER holds msr_paraphrase_train.txt. `--short`: a tiny model and 1 and 2 workers, to try the harness.
 */
import { createHash } from "node:crypto";
import { existsSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readJournal } from "../../coordinator/run/journal.ts";
import { readBenchFlags, runBench, WrongFlag } from "./support/bench-flags.ts";
import { runCoordinator } from "./support/coordinator.ts";
import { benchFolder } from "./support/leftovers.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { mrpcColumns } from "./support/mrpc-files.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress, type ReportTable } from "./support/report.ts";

const microbatches = 4;
const microbatch = 8;
const paddings = ["none", "bucket"] as const;
type Padding = (typeof paddings)[number];

/** What is trained, by how many workers. */
interface Job {
  readonly model: string;
  readonly trainFile: string;
  readonly maxLength: number;
  readonly steps: number;
  readonly bf16: boolean;
  /** Largest norm of a gradient. */
  readonly clipAt: number;
  readonly counts: readonly number[];
}

/** A run that has ended. */
interface Row {
  readonly name: string;
  readonly workers: string;
  readonly sha256: string;
  readonly seconds: number;
  readonly lastLoss: number;
  /** Steps whose gradient was clipped. */
  readonly clipped: number;
  /** Lengths that sequences were padded to; none where nothing is. */
  readonly lengths: readonly number[];
}

/** All runs of one kind of padding. */
interface Result {
  readonly padding: Padding;
  readonly isOne: boolean;
  readonly rows: readonly Row[];
}

/** The folder and the steps come first, without names. */
function readPlan(args: readonly string[]) {
  const firstFlag = args.findIndex((argument) => argument.startsWith("--"));
  const places = args.slice(0, firstFlag < 0 ? args.length : firstFlag);
  const flags = readBenchFlags(args.slice(places.length), {
    padding: paddings,
    bf16: false,
    short: false,
    // There is no peer; the flag is every bench's.
    "no-peer": false,
  });
  const wanted = flags.padding.map((text): Padding => {
    const padding = paddings.find((name) => name === text);
    if (padding !== undefined) return padding;
    throw new WrongFlag(`--padding: expected ${paddings.join(" or ")}, found ${text}`);
  });
  const [dataFolder = "", steps = flags.short ? "4" : "12"] = places;
  if (!/^[1-9]\d*$/u.test(steps)) throw new WrongFlag(`expected a number of steps, found ${steps}`);
  return { ...flags, padding: wanted, dataFolder, steps: Number(steps) };
}

async function trainOnce(
  {
    name,
    workers,
    output,
  }: { readonly name: string; readonly workers: string; readonly output: string },
  { clipAt }: Job,
  args: readonly string[],
): Promise<Row> {
  const start = performance.now();
  const text = await runCoordinator([...args, "--output-dir", output]);
  const seconds = (performance.now() - start) / 1000;
  const sha256 = createHash("sha256")
    .update(readFileSync(join(output, "model.safetensors")))
    .digest("hex");
  const journal = await readJournal(join(output, "journal.jsonl"));
  const steps = journal.flatMap((record) => (record.kind === "step" ? [record] : []));
  const padded = /sequences are padded to (?<lengths>[\d, ]+) tokens/u.exec(text);
  tellProgress(`${name}: ${sha256.slice(0, 16)} (${seconds.toFixed(0)} s)`);
  return {
    name,
    workers,
    sha256,
    seconds,
    lastLoss: steps.at(-1)?.loss ?? Number.NaN,
    clipped: steps.filter(({ gradNorm }) => gradNorm > clipAt).length,
    lengths: padded?.groups?.["lengths"]?.split(", ").map(Number) ?? [],
  };
}

function argumentsOf(job: Job, padding: Padding, workers: number): readonly string[] {
  return [
    ["--model", job.model],
    ["--train-file", job.trainFile],
    mrpcColumns,
    ["--per-device-train-batch-size", String(microbatch)],
    ["--max-grad-norm", String(job.clipAt)],
    ["--weight-decay", "0.01"],
    ["--max-length", String(job.maxLength)],
    ["--max-steps", String(job.steps)],
    ["--eval-strategy", "no"],
    ["--padding", padding],
    ["--workers", String(workers)],
    job.bf16 ? ["--bf16", "--force-bf16"] : [],
  ].flat();
}

/** Trains the job in every way, in a folder; shows what `coordinator verify` says of the first and the last count. */
async function compare(job: Job, padding: Padding, folder: string): Promise<Result> {
  const half = Math.floor(job.steps / 2);
  const [fewest = 1, saving = 1] = job.counts;
  const most = job.counts.at(-1) ?? 1;
  const unsaved = ["--save-strategy", "no"];
  const batch = ["--train-batch-size", String(microbatches * microbatch)];
  const rows: Row[] = [];
  const others: string[] = [];
  for (const workers of job.counts) {
    const output = join(folder, `workers-${workers}`);
    const run = { name: `${workers} workers`, workers: String(workers), output };
    // One run is gone on from.
    const saved = ["--save-strategy", "steps", "--save-steps", String(half)];
    const when = workers === saving ? saved : unsaved;
    rows.push(
      await trainOnce(run, job, [...argumentsOf(job, padding, workers), ...batch, ...when]),
    );
    if (workers !== fewest) others.push(output);
  }
  const turns = ["--gradient-accumulation-steps", String(Math.ceil(microbatches / most))];
  const accumulated = join(folder, "accumulated");
  rows.push(
    await trainOnce(
      { name: "batch by accumulation", workers: String(most), output: accumulated },
      job,
      [...argumentsOf(job, padding, most), ...turns, ...unsaved],
    ),
  );
  const checkpoint = join(folder, `workers-${saving}`, `checkpoint-${half}`);
  const resumed = join(folder, "resumed");
  rows.push(
    await trainOnce(
      { name: `resumed after ${half}`, workers: `${saving}, then 3`, output: resumed },
      job,
      ["--resume-from-checkpoint", checkpoint, "--workers", "3"],
    ),
  );
  for (const other of [...others, accumulated, resumed]) {
    const report = await runCoordinator(["verify", join(folder, `workers-${fewest}`), other]);
    if (other !== others.at(-1)) continue;
    console.log(`--padding ${padding}, coordinator verify of ${fewest} and ${most}:\n\n${report}`);
  }
  return { padding, isOne: new Set(rows.map(({ sha256 }) => sha256)).size === 1, rows };
}

function tableOf({ padding, isOne, rows }: Result, job: Job, short: boolean): ReportTable {
  const lengths = rows[0]?.lengths ?? [];
  const padded =
    padding === "none" ? "sequences not padded" : `padded to ${lengths.join(", ")} tokens`;
  return {
    title:
      `${short ? "tiny model" : "MiniLM"} on MRPC, ${job.steps} steps of ${microbatches} microbatches of ${microbatch}, ` +
      `dropout 0.1, clipping ${job.clipAt}, ${job.bf16 ? "bf16" : "fp32"}, ${padded}: ${isOne ? "one hash" : "NOT one hash"}`,
    rows: [
      ["run", "workers", "clipped", "last loss", "seconds", "SHA-256 of model.safetensors"],
      ...rows.map((row) => [
        row.name,
        row.workers,
        String(row.clipped),
        String(row.lastLoss),
        row.seconds.toFixed(0),
        row.sha256,
      ]),
    ],
  };
}

async function main(): Promise<void> {
  const { dataFolder, steps, padding, bf16, short } = readPlan(process.argv.slice(2));
  const trainFile = join(dataFolder, "msr_paraphrase_train.txt");
  if (!existsSync(trainFile)) {
    const reason = `msr_paraphrase_train.txt is not in "${dataFolder}"`;
    console.log(`Skipped: ${reason}`);
    console.log(JSON.stringify({ bench: "exact", skipped: reason }));
    return;
  }
  const folder = benchFolder("exact");
  try {
    const tiny = join(folder, "tiny");
    if (short) await writeRandomBert(tiny, bertShapes["tiny"]!, 0.1);
    const job: Job = {
      model: short ? tiny : await ensureMiniLm(),
      trainFile,
      maxLength: short ? bertShapes["tiny"]!.positions : 128,
      steps,
      bf16,
      // The tiny model's gradients are small.
      clipAt: short ? 0.01 : 0.5,
      counts: short ? [1, 2] : [1, 2, 3, 4],
    };
    const results: Result[] = [];
    for (const kind of padding) results.push(await compare(job, kind, join(folder, kind)));
    const isOne = results.every((result) => result.isOne);
    process.exitCode = isOne ? 0 : 1;
    const tables = results.map((result) => tableOf(result, job, short));
    printReport("exact", tables, { versions: null, steps, bf16, isOne, results });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
