/**
 * `npm run bench:epoch -- --data FOLDER [--rounds 7 --parts 7 --variants article,max_length,dynamic,grouped]`: one MRPC
 * epoch of MiniLM, batch 8, start, loading, tokenising and evaluation included, beside transformers' Trainer: the article's
 * code (each pair padded to 512), padded to 128, padded dynamically, grouped by length; and ours padded to 128 beside its.
 * The epoch is cut into `--parts` parts, every parts-th pair; round k measures part k on both sides in turn. A whole epoch
 * is then start + parts × (training and evaluation of the part). The article's code gets an eighth of each part.
 * FOLDER holds msr_paraphrase_{train,test}.txt. `--short`: a tiny model and little data, to try the harness; `--no-peer`.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { readEvents, runCoordinator } from "./support/coordinator.ts";
import { benchFolder } from "./support/leftovers.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import {
  dataLines,
  findMrpc,
  mrpcColumns,
  writePart,
  type MrpcFiles,
} from "./support/mrpc-files.ts";
import { runPeer } from "./support/peer-python.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, median, spreadOf, type Spread } from "./support/statistics.ts";

const batch = 8;
const evalBatch = 32;
/** The article's code takes ten times as long: a part of each part serves. */
const articleParts = 8;
const shortParts = 100;

const peerSchema = z.object({
  tokeniseMs: z.number(),
  trainMs: z.number(),
  evaluateMs: z.number(),
  torch: z.string(),
  transformers: z.string(),
});

/** How the Trainer is used: its padding, the rows of an evaluation batch, and the length that pads or cuts. */
const variants = {
  article: { padding: "max_length", evalBatch: 8, maxLength: 512, parts: articleParts },
  max_length: { padding: "max_length", evalBatch, maxLength: 128, parts: 1 },
  dynamic: { padding: "dynamic", evalBatch, maxLength: 128, parts: 1 },
  grouped: { padding: "grouped", evalBatch, maxLength: 128, parts: 1 },
} as const;

type Variant = keyof typeof variants;

/** Time of a whole epoch, and of what of it grows with the data. */
interface EpochTime {
  readonly startMs: number;
  readonly workMs: number;
}

interface Job {
  readonly folder: string;
  readonly model: string;
  readonly files: MrpcFiles;
  /** Parts that the data is cut into. */
  readonly parts: number;
  readonly longest: number;
  readonly isShort: boolean;
}

/** Writes a part of both splits; gives the files and by how much its work is less than an epoch's. */
function cut(job: Job, part: number, finer: number): MrpcFiles & { readonly scale: number } {
  const files = { train: join(job.folder, "train.tsv"), test: join(job.folder, "test.tsv") };
  const place = { part, parts: job.parts * finer };
  const rows = writePart(job.files.train, files.train, place);
  writePart(job.files.test, files.test, place);
  return { ...files, scale: dataLines(job.files.train).length / rows };
}

async function ours(
  job: Job,
  part: number,
  padding: "none" | "max_length",
  extra: readonly string[] = [],
): Promise<EpochTime> {
  const { train, test, scale } = cut(job, part, 1);
  const output = join(job.folder, "run");
  const settings = [
    ["--model", job.model],
    ["--train-file", train],
    ["--validation-file", test],
    mrpcColumns,
    ["--output-dir", output],
    ["--overwrite-output-dir"],
    ["--per-device-train-batch-size", String(batch)],
    ["--train-batch-size", String(batch)],
    ["--per-device-eval-batch-size", String(evalBatch)],
    ["--learning-rate", "5e-5"],
    ["--weight-decay", "0.01"],
    ["--num-train-epochs", "1"],
    ["--max-length", String(Math.min(128, job.longest))],
    ["--padding", padding],
    ["--save-strategy", "no"],
    extra,
  ];
  const started = performance.now();
  await runCoordinator(settings.flat());
  const wallMs = performance.now() - started;
  const begin = readEvents(output, "EpochStarted", z.unknown())[0]?.atMs ?? Number.NaN;
  const end = readEvents(output, "EvaluationCompleted", z.unknown()).at(-1)?.atMs ?? Number.NaN;
  return { startMs: wallMs - (end - begin), workMs: (end - begin) * scale };
}

async function trainer(job: Job, part: number, variant: Variant) {
  const { padding, evalBatch: rows, maxLength, parts } = variants[variant];
  const { train, test, scale } = cut(job, part, parts);
  const length = Math.min(maxLength, job.longest);
  const args = [job.model, train, test, padding, batch, rows, length].map(String);
  const started = performance.now();
  const result = await runPeer("epoch_trainer.py", args, peerSchema);
  const wallMs = performance.now() - started;
  const partMs = result.tokeniseMs + result.trainMs + result.evaluateMs;
  const { torch, transformers } = result;
  const time = { startMs: wallMs - partMs, workMs: partMs * scale };
  return { time, versions: { torch, transformers } };
}

const wholeMs = ({ startMs, workMs }: EpochTime): number => startMs + workMs;

interface Row {
  readonly name: string;
  readonly seconds: Spread;
  readonly ratio?: Spread;
  /** Without what does not grow with the data. */
  readonly ratioOfWork?: number;
}

function rowOf(name: string, times: readonly EpochTime[], beside: readonly EpochTime[]): Row {
  const seconds = spreadOf(times.map((time) => wholeMs(time) / 1000));
  if (beside.length === 0) return { name, seconds };
  const against = (of: (time: EpochTime) => number): number[] =>
    times.map((time, i) => of(time) / of(beside[i] ?? { startMs: Number.NaN, workMs: Number.NaN }));
  const ratioOfWork = median(against(({ workMs }) => workMs));
  return { name, seconds, ratio: spreadOf(against(wholeMs)), ratioOfWork };
}

async function measure(job: Job, rounds: number, asked: readonly Variant[]) {
  const own = { none: [] as EpochTime[], max_length: [] as EpochTime[] };
  const paddings = (["none", "max_length"] as const).filter(
    (padding) => padding === "none" || asked.includes(padding),
  );
  const peers = new Map<Variant, EpochTime[]>(asked.map((variant) => [variant, []]));
  let versions: { readonly torch: string; readonly transformers: string } | null = null;
  for (let round = 0; round < rounds; round++) {
    const part = round % job.parts;
    for (const padding of paddings) {
      // The programs of these lengths go into the cache, as after any first run on this data.
      if (!job.isShort) await ours(job, part, padding, ["--max-steps", "1"]);
      own[padding].push(await ours(job, part, padding));
    }
    for (const [variant, times] of peers) {
      const one = await trainer(job, part, variant);
      versions = one.versions;
      times.push(one.time);
    }
    tellProgress(`round ${round + 1} of ${rounds}`);
  }
  const results = [
    rowOf("Ringmaster", own.none, []),
    ...paddings
      .filter((padding) => padding === "max_length")
      .map((padding) => rowOf("Ringmaster, padded to 128", own[padding], [])),
    ...[...peers].map(([variant, times]) => rowOf(`Trainer, ${variant}`, times, own.none)),
    ...[...peers]
      .filter(([variant]) => variant === "max_length")
      .map(([, times]) => rowOf("Trainer ÷ Ringmaster, both padded to 128", times, own.max_length)),
  ];
  return { versions, results };
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    data: "",
    rounds: 7,
    parts: 7,
    variants: ["article", "max_length", "dynamic", "grouped"],
    short: false,
    "no-peer": false,
  });
  const files = findMrpc(flags.data);
  const folder = benchFolder("epoch");
  const asked = (["article", "max_length", "dynamic", "grouped"] as const).filter(
    (variant) => !flags["no-peer"] && flags.variants.includes(variant),
  );
  const { rounds } = flags;
  try {
    const tiny = bertShapes["tiny"]!;
    const model = flags.short ? join(folder, "tiny") : await ensureMiniLm();
    if (flags.short) await writeRandomBert(model, tiny, 0.1);
    const parts = flags.short ? shortParts : flags.parts;
    const longest = flags.short ? tiny.positions : Number.POSITIVE_INFINITY;
    const job = { folder, model, files, parts, longest, isShort: flags.short };
    const { versions, results } = await measure(job, rounds, asked);
    const table = [
      ["", "a whole epoch, s", "÷ ours", "÷ ours, start left out"],
      ...results.map((r) => [
        r.name,
        formatSpread(r.seconds),
        r.ratio === undefined ? "–" : formatSpread(r.ratio, 2),
        r.ratioOfWork?.toFixed(2) ?? "–",
      ]),
    ];
    const title = `one MRPC epoch, ${flags.short ? "tiny model" : "MiniLM"}, batch ${batch}, fp32, dropout 0.1, ${rounds} rounds in turn, each a part of ${parts}: median (least–most)`;
    printReport("epoch", [{ title, rows: table }], { versions, rounds, parts, results });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
