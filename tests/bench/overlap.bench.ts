/**
 * `npm run bench:overlap [-- --workers 4 --mbits 10000 --buckets 1,2,4,8,16 --wire int32 --rounds 7 --steps 4]`: how much of
 * the exchange is hidden behind computing, by number of buckets. Workers on hosts of their own (network namespaces) whose links
 * are held to a speed (`tc tbf`), the real program, MiniLM's shape, 8 × 128 per worker, dropout 0.1; bucket counts in turn, all
 * steps but the first three profiled, and the floor of all workers' steps on all cores. `--short`: a tiny model; `--no-peer`: products
 * of ours and TensorFlow's only. Skips, saying so, where namespaces are not permitted.
 */
import { availableParallelism } from "node:os";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { createNetwork, networksPermitted, type Network } from "../support/network-hosts.ts";
import { readBenchFlags, runBench, WrongFlag } from "./support/bench-flags.ts";
import { modelProducts, stepFlops } from "./support/floor.ts";
import { floorLine, floorOf, shareOf, shareText } from "./support/floor-share.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { trainOnHosts, type HostsJob } from "./support/hosts-run.ts";
import { benchFolder, endWithBench } from "./support/leftovers.ts";
import { MatmulRates } from "./support/matmul-rates.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, median, spreadOf } from "./support/statistics.ts";
import { readOverlap, type StepOverlap } from "./support/step-overlap.ts";

const warmUpSteps = 3;

/** What one number of buckets came to, run by run. */
interface Row {
  readonly buckets: number;
  readonly runs: StepOverlap[];
  readonly losses: Set<number>;
}

function bucketCounts(texts: readonly string[]): readonly number[] {
  return texts.map((text) => {
    const count = Number(text);
    if (Number.isInteger(count) && count > 0) return count;
    throw new WrongFlag(`--buckets: expected whole numbers from 1, found "${text}"`);
  });
}

async function runOnce(
  network: Network,
  job: HostsJob,
  row: Row,
  how: { readonly wire: string; readonly steps: number },
): Promise<void> {
  const steps = warmUpSteps + how.steps;
  const profiled = ["--profile-steps", `${warmUpSteps + 1}-${steps}`];
  const flags = ["--gradient-buckets", String(row.buckets), ...profiled];
  const { losses } = await trainOnHosts(network, job, { wire: how.wire, steps, flags });
  row.runs.push(readOverlap(join(job.folder, "run"), job.workers));
  row.losses.add(losses.at(-1) ?? Number.NaN);
}

/** Share of the exchange that is hidden: by each rank's own profile, and of the time that one bucket takes after the gradients. */
function sharesOf({ runs }: Row, unhiddenMs: number) {
  return {
    ofOwnExchange: spreadOf(
      runs.map(({ exchangeMs, wholeExchangeMs }) => 1 - exchangeMs / wholeExchangeMs),
    ),
    ofOneBucket: spreadOf(runs.map(({ afterGradientsMs }) => 1 - afterGradientsMs / unhiddenMs)),
  };
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    workers: 4,
    mbits: 10_000,
    buckets: ["1", "2", "4", "8", "16"],
    wire: "int32",
    precision: "fp32",
    rounds: 7,
    steps: 4,
    short: false,
    "no-peer": false,
  });
  const rows = bucketCounts(flags.buckets).map((buckets): Row => ({
    buckets,
    runs: [],
    losses: new Set(),
  }));
  if (!networksPermitted()) {
    const skipped = "network namespaces are not permitted here";
    console.log(`Skipped: ${skipped}`);
    console.log(JSON.stringify({ bench: "overlap", skipped }));
    return;
  }
  const shape = bertShapes[flags.short ? "tiny" : "minilm"]!;
  const tokens = flags.short ? 16 : 128;
  const folder = benchFolder("overlap");
  const { workers, mbits, rounds, steps, wire } = flags;
  const precision = flags.precision === "bf16" ? ("bf16" as const) : ("fp32" as const);
  const job: HostsJob = {
    folder,
    modelFolder: join(folder, "model"),
    trainFile: join(folder, "train.jsonl"),
    rows: 8,
    tokens,
    workers,
    threads: Math.max(1, Math.floor(availableParallelism() / workers)),
    precision,
    onStarted: endWithBench,
  };
  const names = ["lead", ...Array.from({ length: workers }, (_, index) => `worker-${index}`)];
  await writeRandomBert(job.modelFolder, shape, 0.1);
  writeFullRows(job.trainFile, shape, tokens);
  const rates = await MatmulRates.start(modelProducts(shape, job), precision, !flags["no-peer"]);
  const network = createNetwork(names);
  try {
    for (const host of network.hosts.slice(1)) host.limit(mbits);
    for (let round = 0; round < rounds; round++) {
      await rates.round();
      const order = round % 2 === 0 ? rows : rows.toReversed();
      for (const row of order) await runOnce(network, job, row, { wire, steps });
      const told = rows.map(({ buckets, runs }) => `${buckets}: ${runs.at(-1)?.stepMs.toFixed(0)}`);
      tellProgress(`round ${round + 1} of ${rounds}, ms a step by buckets: ${told.join(", ")}`);
    }
  } finally {
    await rates.close();
    network.remove();
    rmSync(folder, { recursive: true, force: true });
  }
  const losses = new Set(rows.flatMap((row) => [...row.losses]));
  if (losses.size !== 1) throw new Error(`The loss depends on buckets: ${[...losses].join(", ")}`);
  const unhidden = rows.find(({ buckets }) => buckets === 1)?.runs ?? [];
  const unhiddenMs = median(unhidden.map(({ afterGradientsMs }) => afterGradientsMs));
  // All hosts share this machine's cores.
  const floor = floorOf(workers * stepFlops(shape, job, "first-row"), rates.best);
  const results = rows.map((row) => {
    const spread = (value: (run: StepOverlap) => number) => spreadOf(row.runs.map(value));
    const stepMs = spread((run) => run.stepMs);
    return {
      buckets: row.buckets,
      stepMs,
      floor: shareOf(floor, stepMs.median / 1000),
      computeMs: spread(({ computeMs }) => computeMs),
      exchangeMs: spread(({ exchangeMs }) => exchangeMs),
      otherMs: spread(({ otherMs }) => otherMs),
      wholeExchangeMs: spread(({ wholeExchangeMs }) => wholeExchangeMs),
      afterGradientsMs: spread(({ afterGradientsMs }) => afterGradientsMs),
      hidden: sharesOf(row, unhiddenMs),
    };
  });
  const percent = (share: number): string =>
    Number.isNaN(share) ? "" : `${(100 * share).toFixed(0)} %`;
  const table = [
    [
      "buckets",
      "step, ms",
      "= compute",
      "+ exchange not hidden",
      "+ other",
      "whole exchange",
      "hidden",
      "after the last gradient, ms",
      "hidden of one bucket's",
      "share of the floor",
    ],
    ...results.map((r) => [
      String(r.buckets),
      formatSpread(r.stepMs),
      r.computeMs.median.toFixed(0),
      r.exchangeMs.median.toFixed(0),
      r.otherMs.median.toFixed(0),
      r.wholeExchangeMs.median.toFixed(0),
      percent(r.hidden.ofOwnExchange.median),
      formatSpread(r.afterGradientsMs),
      percent(r.hidden.ofOneBucket.median),
      shareText(r.floor),
    ]),
  ];
  const title = `${workers} workers on hosts of their own, links of ${mbits} Mbit/s, ${flags.short ? "tiny model" : "MiniLM shape"}, ${job.rows} × ${tokens} per worker, ${precision}, ${wire}, ${rounds} rounds in turn of ${steps} profiled steps: median (least–most)`;
  const below = [floorLine(`a step of ${workers} workers`, floor)];
  printReport("overlap", [{ title, rows: table, below }], {
    versions: null,
    workers,
    mbits,
    wire,
    precision,
    rounds,
    steps,
    results,
  });
}

await runBench(main);
