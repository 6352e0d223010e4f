/**
 * `npm run bench:memory [-- --models minilm,bert-base --precision fp32,bf16 --modes eager --rounds 7 --steps 6]`: peak
 * memory (PSS, summed over all processes of a side, from its start over some steps) of a training run with one worker, 8 ×
 * 128 tokens, dropout 0.1, beside PyTorch, in turn. Ours is the real program: coordinator, worker and NATS. Beside it the
 * floor of a step and what share of these few, not warmed-up steps it is: so that memory is seen not to be bought with time.
 * `--short`: a tiny model, to try the harness; `--no-peer`: our side only.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { coordinatorKnows, readEvents } from "./support/coordinator.ts";
import { modelProducts, stepFlops } from "./support/floor.ts";
import { betterRate, floorLine, floorOf, shareOf, shareText } from "./support/floor-share.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { MatmulRates, type BestRate } from "./support/matmul-rates.ts";
import { startPausedRun } from "./support/paused-run.ts";
import { watchStartedMemory, type PeakMemory } from "./support/process-memory.ts";
import { bertShapes, shapeNames, writeRandomBert, type BertShape } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, howRatios, median, ratioOfMedians, spreadOf } from "./support/statistics.ts";
import { stepArguments, type StepJob } from "./support/step-arguments.ts";
import { TrainPeer, type PeerMode, type PeerVersions } from "./support/train-peer.ts";

const mebibyte = 2 ** 20;

/** What is trained: of the precisions those that products are measured in. */
type MemoryJob = StepJob & { readonly precision: "fp32" | "bf16" };

/** Rounds of matrix products before the others, and after them. */
const rateRounds = 2;
const stepSchema = z.object({ stepMs: z.number() });

async function ourPeak(
  job: StepJob,
  folder: string,
  steps: number,
): Promise<PeakMemory & { readonly stepMs: number }> {
  const output = join(folder, "run");
  const watch = watchStartedMemory();
  const run = await startPausedRun(stepArguments(job), output, steps);
  const peak = watch.stop();
  await run.close();
  const stepMs = readEvents(output, "StepCommitted", stepSchema).map(({ data }) => data.stepMs);
  // The first has no step before it to be timed from.
  return { ...peak, stepMs: median(stepMs.filter((ms) => ms > 0)) };
}

/** By processes that end before memory is read: theirs would count, and what they share with ours would count for less. */
async function matmulRate(shape: BertShape, job: MemoryJob, withPeer: boolean): Promise<BestRate> {
  const rates = await MatmulRates.start(modelProducts(shape, job), job.precision, withPeer);
  try {
    for (let round = 0; round < rateRounds; round++) await rates.round();
    return rates.best;
  } finally {
    await rates.close();
  }
}

async function peerPeak(
  job: StepJob,
  mode: PeerMode,
  steps: number,
): Promise<{ readonly peak: PeakMemory; readonly versions: PeerVersions }> {
  const watch = watchStartedMemory();
  const peer = await TrainPeer.start(job);
  try {
    await peer.steps(mode, steps);
    return { peak: watch.stop(), versions: peer.versions };
  } finally {
    await peer.close();
  }
}

/** Takes turns between the sides, and sums up. */
async function measure(
  job: MemoryJob,
  shape: BertShape,
  {
    folder,
    modes,
    rounds,
    steps,
  }: { folder: string; modes: readonly PeerMode[]; rounds: number; steps: number },
) {
  const ours: Awaited<ReturnType<typeof ourPeak>>[] = [];
  const peers = new Map<PeerMode, number[]>(modes.map((mode) => [mode, []]));
  let versions: PeerVersions | null = null;
  const before = await matmulRate(shape, job, modes.length > 0);
  for (let round = 0; round < rounds; round++) {
    ours.push(await ourPeak(job, folder, steps));
    for (const mode of modes) {
      const one = await peerPeak(job, mode, steps);
      versions = one.versions;
      peers.get(mode)?.push(one.peak.bytes);
    }
    tellProgress(`${job.precision}: round ${round + 1} of ${rounds}`);
  }
  const rate = betterRate(before, await matmulRate(shape, job, modes.length > 0));
  const stepMs = spreadOf(ours.map((one) => one.stepMs));
  const floor = shareOf(floorOf(stepFlops(shape, job, "first-row"), rate), stepMs.median / 1000);
  const ourBytes = ours.map(({ bytes }) => bytes);
  const pytorch = [...peers].map(([mode, bytes]) => ({
    mode,
    bytes: spreadOf(bytes),
    ratio: ratioOfMedians(bytes, ourBytes),
  }));
  const processes = ours[0]?.processes ?? 0;
  const result = { ours: spreadOf(ourBytes), processes, stepMs, floor, pytorch };
  return { versions, result };
}

type Result = Awaited<ReturnType<typeof measure>>["result"] & {
  readonly model: string;
  readonly precision: "fp32" | "bf16";
};

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    models: ["minilm", "bert-base"],
    precision: ["fp32", "bf16"],
    modes: ["eager"],
    rounds: 7,
    steps: 6,
    short: false,
    "no-peer": false,
  });
  const models = flags.short ? ["tiny"] : shapeNames(flags.models);
  const tokens = flags.short ? 16 : 128;
  const modes = flags["no-peer"]
    ? []
    : (["eager", "compile"] as const).filter((mode) => flags.modes.includes(mode));
  const hasBf16 = coordinatorKnows("--bf16");
  const precisions = (["fp32", "bf16"] as const).filter(
    (one) => flags.precision.includes(one) && (one === "fp32" || hasBf16),
  );
  if (!hasBf16) tellProgress("bf16 is left out: this coordinator has no --bf16");
  const folder = benchFolder("memory");
  const results: Result[] = [];
  let versions: PeerVersions | null = null;
  try {
    for (const model of models) {
      const shape = bertShapes[model]!;
      const modelFolder = join(folder, model);
      const trainFile = join(folder, "train.jsonl");
      await writeRandomBert(modelFolder, shape, 0.1);
      writeFullRows(trainFile, shape, tokens);
      for (const precision of precisions) {
        const job = { modelFolder, trainFile, rows: 8, tokens, workers: 1, precision };
        const { rounds, steps } = flags;
        const one = await measure(job, shape, { folder, modes, rounds, steps });
        versions = one.versions;
        results.push({ model, precision, ...one.result });
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const mebibytes = ({ median, min, max }: Result["ours"]): string =>
    formatSpread({ median: median / mebibyte, min: min / mebibyte, max: max / mebibyte }, 0);
  const rows = [
    [
      "model",
      "precision",
      "Ringmaster, MiB",
      "PyTorch, MiB",
      "PyTorch ÷ ours",
      "Ringmaster's step, ms",
      "share of the floor",
    ],
    ...results.flatMap((r) => {
      const head = [r.model, r.precision, mebibytes(r.ours)];
      const time = [formatSpread(r.stepMs, 0), shareText(r.floor)];
      if (r.pytorch.length === 0) return [[...head, "–", "–", ...time]];
      return r.pytorch.map(({ mode, bytes, ratio }) => [
        ...head,
        `${mode} ${mebibytes(bytes)}`,
        formatSpread(ratio, 2),
        ...time,
      ]);
    }),
  ];
  const { rounds, steps } = flags;
  const title = `peak PSS of all processes, 1 worker, 8 × ${tokens}, dropout 0.1, ${rounds} rounds in turn of ${steps} steps: ${howRatios}`;
  const below = results.map(({ model, precision, floor }) =>
    floorLine(`a step, ${model}, ${precision}`, floor),
  );
  printReport("memory", [{ title, rows, below }], { versions, rounds, steps, results });
}

await runBench(main);
