/**
 * `npm run bench:throughput [-- --rounds 7 --steps 6 --warm-up 40 --workers 1,2,4 --precision fp32]`: samples/s of 1, 2 and 4 workers
 * beside PyTorch DDP over gloo, in turn, at MiniLM's shape, 8 rows of 128 tokens per worker, dropout 0.1 on both sides;
 * `npm run bench:train` does so in fp32 and in bf16 (our `--bf16`, PyTorch's autocast). Ours is the real
 * program, every worker a process, exchange and update included. Both sides start once for each number of workers and
 * take turns in blocks of steps. Beside it the samples/s that the best matrix product rate would let the machine reach. `--short`: a tiny model, to try the harness; `--no-peer`: our side only.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { modelProducts, stepFlops } from "./support/floor.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { MatmulRates, type BestRate } from "./support/matmul-rates.ts";
import { startPausedRun } from "./support/paused-run.ts";
import { bertShapes, writeRandomBert, type BertShape } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, howRatios, median, ratioOfMedians, spreadOf } from "./support/statistics.ts";
import { stepArguments } from "./support/step-arguments.ts";
import { TrainPeer, type PeerVersions } from "./support/train-peer.ts";
import { warmUpSteps } from "./support/warm-up.ts";

const rows = 8;
const tuningSteps = 2;

interface Sizing {
  readonly folder: string;
  readonly shape: BertShape;
  readonly tokens: number;
  readonly rounds: number;
  readonly steps: number;
  readonly warmUp: number;
  readonly withPeer: boolean;
}

type Precision = "fp32" | "bf16";

interface Measured {
  readonly workers: number;
  readonly precision: Precision;
  readonly ours: number[];
  readonly peer: number[];
  readonly peerThreads: number;
  readonly matmul: BestRate;
}

/** Measures one number of workers; the sides take turns in who is first. */
async function measure(
  sizing: Sizing,
  { workers, precision }: { readonly workers: number; readonly precision: Precision },
): Promise<Measured & { versions: PeerVersions | null }> {
  const { folder, shape, tokens, rounds, steps, warmUp, withPeer } = sizing;
  const job = {
    modelFolder: join(folder, "model"),
    rows,
    tokens,
    precision,
    worldSize: workers,
  };
  const products = modelProducts(shape, { rows, tokens });
  const rates = await MatmulRates.start(products, precision, withPeer);
  const peer = withPeer ? await TrainPeer.start(job) : null;
  const measured = { workers, precision, ours: [] as number[], peer: [] as number[] };
  const perSecond = (ms: readonly number[]): number => (rows * workers * 1000) / median(ms);
  try {
    await peer?.chooseThreads(tuningSteps);
    const trainFile = join(folder, "train.jsonl");
    const args = stepArguments({ ...job, trainFile, workers });
    await peer?.steps("eager", warmUp);
    const run = await startPausedRun(args, join(folder, `run-${precision}-${workers}`), warmUp);
    try {
      const measureOurs = async (): Promise<void> => {
        measured.ours.push(perSecond(await run.steps(steps)));
      };
      const measurePeer = async (): Promise<void> => {
        if (peer !== null) measured.peer.push(perSecond(await peer.steps("eager", steps)));
      };
      for (let round = 0; round < rounds; round++) {
        await rates.round();
        const turn = [measureOurs, measurePeer];
        for (const side of round % 2 === 0 ? turn : turn.reverse()) await side();
        const last = [measured.ours, measured.peer].map((all) => all.at(-1)?.toFixed(1) ?? "–");
        tellProgress(
          `${precision}, ${workers} workers, round ${round + 1} of ${rounds}: ${last.join(" beside ")}`,
        );
      }
    } finally {
      await run.close();
    }
    const facts = { peerThreads: peer?.threads ?? 0, matmul: rates.best };
    return { ...measured, ...facts, versions: peer?.versions ?? null };
  } finally {
    await rates.close();
    await peer?.close();
  }
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    rounds: 7,
    steps: 6,
    "warm-up": 0,
    workers: ["1", "2", "4"],
    precision: ["fp32"],
    short: false,
    "no-peer": false,
  });
  const shape = bertShapes[flags.short ? "tiny" : "minilm"]!;
  const tokens = flags.short ? 16 : 128;
  const folder = benchFolder("throughput");
  const { rounds, steps } = flags;
  const warmUp = warmUpSteps(flags);
  const sizing = { folder, shape, tokens, rounds, steps, warmUp };
  const measured: Measured[] = [];
  let versions: PeerVersions | null = null;
  try {
    await writeRandomBert(join(folder, "model"), shape, 0.1);
    writeFullRows(join(folder, "train.jsonl"), shape, tokens);
    for (const precision of (["fp32", "bf16"] as const).filter((p) =>
      flags.precision.includes(p),
    )) {
      for (const workers of flags.workers.map(Number)) {
        const form = { workers, precision };
        const one = await measure({ ...sizing, withPeer: !flags["no-peer"] }, form);
        versions = one.versions;
        measured.push(one);
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  // All workers share the cores: what the machine can do at best does not depend on how many there are.
  const flopsPerSample = stepFlops(shape, { rows, tokens }, "first-row") / rows;
  const results = measured.map(({ workers, precision, ours, peer, peerThreads, matmul }) => ({
    precision,
    workers,
    ours: spreadOf(ours),
    matmul,
    floor: {
      perSecond: (matmul.gflops * 1e9) / flopsPerSample,
      share: (median(ours) * flopsPerSample) / matmul.gflops / 1e9,
    },
    ...(peer.length === 0
      ? {}
      : {
          pytorch: spreadOf(peer),
          ratio: ratioOfMedians(ours, peer),
          peerThreads,
        }),
  }));
  const table = [
    [
      "precision",
      "workers",
      "Ringmaster",
      "PyTorch DDP (gloo)",
      "its threads a rank",
      "ratio",
      "the floor lets",
      "share of it",
    ],
    ...results.map((r) => [
      r.precision,
      String(r.workers),
      formatSpread(r.ours),
      r.pytorch === undefined ? "–" : formatSpread(r.pytorch),
      String(r.peerThreads ?? "–"),
      r.ratio === undefined ? "–" : formatSpread(r.ratio, 2),
      r.floor.perSecond.toFixed(1),
      `${(100 * r.floor.share).toFixed(0)} %`,
    ]),
  ];
  const title = `samples/s, ${flags.short ? "tiny model" : "MiniLM shape"}, ${rows} × ${tokens} per worker, dropout 0.1, ${rounds} rounds in turn of ${steps} steps after ${warmUp}: ${howRatios}`;
  const sizes = { rounds, steps, warmUp };
  printReport("throughput", [{ title, rows: table }], { versions, ...sizes, results });
}

await runBench(main);
