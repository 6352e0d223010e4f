/**
 * `npm run bench:epoch -- --data FOLDER [--rounds 7 --parts 7 --variants article,max_length,dynamic,grouped]`: one MRPC
 * epoch of MiniLM, batch 8, start, loading, tokenising and evaluation included, beside the floor that the pairs' own tokens
 * set and transformers' Trainer: the article's code (each pair padded to 512), padded to 128, padded dynamically, grouped by length; and ours padded to 128 beside its.
 * The epoch is cut into `--parts` parts, every parts-th pair; round k measures part k on both sides in turn. A whole epoch
 * is then start + parts × (training and evaluation of the part). The article's code gets an eighth of each part.
 * FOLDER holds msr_paraphrase_{train,test}.txt. `--short`: a tiny model and little data, to try the harness; `--no-peer`.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { readEvents, runCoordinator } from "./support/coordinator.ts";
import { countEpoch } from "./support/epoch-floor.ts";
import {
  cut,
  epochBatches,
  epochLength,
  type EpochJob,
  type EpochTime,
} from "./support/epoch-parts.ts";
import { chooseWays, trainer, type Variant } from "./support/epoch-trainer.ts";
import {
  floorLine,
  floorOf,
  shareOf,
  shareText,
  type Floor,
  type FloorShare,
} from "./support/floor-share.ts";
import { benchFolder } from "./support/leftovers.ts";
import { MatmulRates } from "./support/matmul-rates.ts";
import { ensureMiniLm } from "./support/minilm.ts";
import { findMrpc, mrpcColumns } from "./support/mrpc-files.ts";
import { describeWay, type PeerWay } from "./support/peer-way.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import {
  formatSpread,
  howRatios,
  median,
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
    ["--max-length", String(epochLength(job))],
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
  /** Of ours: the floor beside a whole epoch, and beside what of it grows with the data. */
  readonly floor?: FloorShare | null;
  readonly floorWithoutStart?: FloorShare | null;
}

function rowOf(name: string, times: readonly EpochTime[], beside: readonly EpochTime[]): Row {
  const seconds = spreadOf(times.map((time) => wholeMs(time) / 1000));
  if (beside.length === 0) return { name, seconds };
  const against = (of: (time: EpochTime) => number): Spread =>
    ratioOfMedians(times.map(of), beside.map(of));
  const ratioOfWork = against(({ workMs }) => workMs).median;
  return { name, seconds, ratio: against(wholeMs), ratioOfWork };
}

function ownRow(name: string, times: readonly EpochTime[], floor: Floor | null): Row {
  const beside = (of: (time: EpochTime) => number): FloorShare | null =>
    shareOf(floor, median(times.map(of)) / 1000);
  const floors = { floor: beside(wholeMs), floorWithoutStart: beside(({ workMs }) => workMs) };
  return { ...rowOf(name, times, []), ...floors };
}

async function measure(job: EpochJob, rounds: number, asked: readonly Variant[]) {
  const own = { none: [] as EpochTime[], max_length: [] as EpochTime[] };
  const paddings = (["none", "max_length"] as const).filter(
    (padding) => padding === "none" || asked.includes(padding),
  );
  const peers = new Map<Variant, EpochTime[]>(asked.map((variant) => [variant, []]));
  const ways = await chooseWays(job, asked);
  const need = await countEpoch(job);
  const rates = await MatmulRates.start(need.products, "fp32", asked.length > 0);
  let versions: { readonly torch: string; readonly transformers: string } | null = null;
  try {
    for (let round = 0; round < rounds; round++) {
      const part = round % job.parts;
      await rates.round();
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
  } finally {
    await rates.close();
  }
  const floor = floorOf(need.flops, rates.best);
  const results: readonly Row[] = [
    ownRow("Ringmaster", own.none, floor),
    ...paddings
      .filter((padding) => padding === "max_length")
      .map((padding) => ownRow("Ringmaster, padded to 128", own[padding], floor)),
    ...[...peers].map(([variant, times]) => {
      const row = rowOf(`Trainer, ${variant}`, times, own.none);
      const way = ways.get(variant);
      return way === undefined ? row : { ...row, way };
    }),
    ...[...peers]
      .filter(([variant]) => variant === "max_length")
      .map(([, times]) => rowOf("Trainer ÷ Ringmaster, both padded to 128", times, own.max_length)),
  ];
  return { versions, floor, results };
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
    const { versions, floor, results } = await measure(job, rounds, asked);
    const table = [
      [
        "",
        "a whole epoch, s",
        "÷ ours",
        "÷ ours, start left out",
        "share of the floor",
        "start left out",
        "fastest with",
      ],
      ...results.map((r) => [
        r.name,
        formatSpread(r.seconds),
        r.ratio === undefined ? "–" : formatSpread(r.ratio, 2),
        r.ratioOfWork?.toFixed(2) ?? "–",
        shareText(r.floor),
        shareText(r.floorWithoutStart),
        r.way === undefined ? "" : describeWay(r.way),
      ]),
    ];
    const title = `one MRPC epoch, ${flags.short ? "tiny model" : "MiniLM"}, batch ${batch}, fp32, dropout 0.1, ${rounds} rounds in turn, each a part of ${parts}: ${howRatios}`;
    const below = [floorLine("an epoch", floor)];
    printReport("epoch", [{ title, rows: table, below }], {
      versions,
      rounds,
      parts,
      floor,
      results,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
