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
import { cut, epochBatches, type EpochJob, type EpochTime } from "./support/epoch-parts.ts";
import { chooseWays, trainer, type Variant } from "./support/epoch-trainer.ts";
import { benchFolder } from "./support/leftovers.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { findMrpc, mrpcColumns } from "./support/mrpc-files.ts";
import { describeWay, type PeerWay } from "./support/peer-way.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import {
  formatSpread,
  howRatios,
  ratioOfMedians,
  spreadOf,
  type Spread,
} from "./support/statistics.ts";

const { train: batch, evaluation: evalBatch } = epochBatches;
const shortParts = 100;

async function ours(
  job: EpochJob,
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

const wholeMs = ({ startMs, workMs }: EpochTime): number => startMs + workMs;

interface Row {
  readonly name: string;
  readonly seconds: Spread;
  /** How the Trainer ran. */
  readonly way?: PeerWay;
  readonly ratio?: Spread;
  /** Without what does not grow with the data. */
  readonly ratioOfWork?: number;
}

function rowOf(name: string, times: readonly EpochTime[], beside: readonly EpochTime[]): Row {
  const seconds = spreadOf(times.map((time) => wholeMs(time) / 1000));
  if (beside.length === 0) return { name, seconds };
  const against = (of: (time: EpochTime) => number): Spread =>
    ratioOfMedians(times.map(of), beside.map(of));
  const ratioOfWork = against(({ workMs }) => workMs).median;
  return { name, seconds, ratio: against(wholeMs), ratioOfWork };
}

async function measure(job: EpochJob, rounds: number, asked: readonly Variant[]) {
  const own = { none: [] as EpochTime[], max_length: [] as EpochTime[] };
  const paddings = (["none", "max_length"] as const).filter(
    (padding) => padding === "none" || asked.includes(padding),
  );
  const peers = new Map<Variant, EpochTime[]>(asked.map((variant) => [variant, []]));
  const ways = await chooseWays(job, asked);
  let versions: { readonly torch: string; readonly transformers: string } | null = null;
  for (let round = 0; round < rounds; round++) {
    const part = round % job.parts;
    for (const padding of paddings) {
      // The programs of these lengths go into the cache, as after any first run on this data.
      if (!job.isShort) await ours(job, part, padding, ["--max-steps", "1"]);
      own[padding].push(await ours(job, part, padding));
    }
    for (const [variant, way] of ways) {
      const one = await trainer(job, { variant, way, part });
      versions = one.versions;
      peers.get(variant)?.push(one.time);
    }
    tellProgress(`round ${round + 1} of ${rounds}`);
  }
  const results = [
    rowOf("Ringmaster", own.none, []),
    ...paddings
      .filter((padding) => padding === "max_length")
      .map((padding) => rowOf("Ringmaster, padded to 128", own[padding], [])),
    ...[...peers].map(([variant, times]) => {
      const row = rowOf(`Trainer, ${variant}`, times, own.none);
      const way = ways.get(variant);
      return way === undefined ? row : { ...row, way };
    }),
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
      ["", "a whole epoch, s", "÷ ours", "÷ ours, start left out", "fastest with"],
      ...results.map((r) => [
        r.name,
        formatSpread(r.seconds),
        r.ratio === undefined ? "–" : formatSpread(r.ratio, 2),
        r.ratioOfWork?.toFixed(2) ?? "–",
        r.way === undefined ? "" : describeWay(r.way),
      ]),
    ];
    const title = `one MRPC epoch, ${flags.short ? "tiny model" : "MiniLM"}, batch ${batch}, fp32, dropout 0.1, ${rounds} rounds in turn, each a part of ${parts}: ${howRatios}`;
    printReport("epoch", [{ title, rows: table }], { versions, rounds, parts, results });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
