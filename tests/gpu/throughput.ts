/** Throughput: samples a second of the whole program beside PyTorch on the same devices, in turn, per precision and workers. */
import { join } from "node:path";
import type { Precision } from "../../foundation/precision.ts";
import { writeFullRows } from "../bench/support/full-rows.ts";
import { startPausedRun } from "../bench/support/paused-run.ts";
import { bertShapes, writeRandomBert } from "../bench/support/random-bert.ts";
import { tellProgress } from "../bench/support/report.ts";
import { median, spreadOf, type Spread } from "../bench/support/statistics.ts";
import { stepArguments } from "../bench/support/step-arguments.ts";
import { TrainPeer, type PeerVersions } from "../bench/support/train-peer.ts";
import { forceFlags } from "./exactness.ts";
import type { AcceptancePlan } from "./plan.ts";

/** Samples a second of one precision and number of workers. */
export interface ThroughputResult {
  readonly precision: Precision;
  readonly workers: number;
  readonly ours: Spread;
  /** By how PyTorch runs. */
  readonly peer: Readonly<Record<string, Spread>>;
  /** Ours ÷ the better of PyTorch's; null without PyTorch. */
  readonly ratio: number | null;
}

/** What was measured. */
export interface Throughput {
  readonly results: readonly ThroughputResult[];
  readonly versions: PeerVersions | null;
}

const warmUpSteps = 3;

/** Measures everything. */
export async function measureThroughput(plan: AcceptancePlan, folder: string): Promise<Throughput> {
  const shape = bertShapes[plan.short ? "tiny" : "minilm"]!;
  const [modelFolder, trainFile] = [join(folder, "model"), join(folder, "train.jsonl")];
  await writeRandomBert(modelFolder, shape, 0.1);
  writeFullRows(trainFile, shape, plan.tokens);
  const results: ThroughputResult[] = [];
  let versions: PeerVersions | null = null;
  for (const precision of plan.precisions) {
    for (const workers of plan.workers) {
      const job = { ...plan, modelFolder, trainFile, precision, workers };
      const one = await measureOne(plan, job, folder);
      versions = one.versions ?? versions;
      results.push(one.result);
    }
  }
  return { results, versions };
}

async function measureOne(
  plan: AcceptancePlan,
  job: Parameters<typeof stepArguments>[0],
  folder: string,
): Promise<{ readonly result: ThroughputResult; readonly versions: PeerVersions | null }> {
  const { precision, workers, rows } = job;
  const { modes, device, rounds, steps } = plan;
  const perSecond = (ms: readonly number[]): number => (rows * workers * 1000) / median(ms);
  const open: { close(): Promise<void> }[] = [];
  try {
    const peer = modes.length === 0 ? null : await TrainPeer.start({ ...job, worldSize: workers });
    if (peer !== null) open.push(peer);
    if (device === "cpu") await peer?.chooseThreads(2);
    // Compiling happens in the first step, and takes a minute.
    for (const mode of modes) await peer?.steps(mode, warmUpSteps);
    const args = [...stepArguments(job), ...forceFlags(precision, device)];
    const output = join(folder, `run-${precision}-${workers}`);
    const run = await startPausedRun(args, output, warmUpSteps);
    open.push(run);
    const ours: number[] = [];
    const theirs = new Map<string, number[]>(modes.map((mode) => [mode, []]));
    for (let round = 0; round < rounds; round++) {
      ours.push(perSecond(await run.steps(steps)));
      for (const mode of modes) {
        const ms = await peer?.steps(mode, steps);
        if (ms !== undefined) theirs.get(mode)?.push(perSecond(ms));
      }
      const last = [ours, ...theirs.values()].map((all) => all.at(-1)?.toFixed(1) ?? "–");
      const place = `${precision}, ${workers} workers, round ${round + 1} of ${rounds}`;
      tellProgress(`throughput, ${place}: ${last.join(" beside ")}`);
    }
    const spreads = [...theirs].map(([mode, rates]) => [mode, spreadOf(rates)] as const);
    const best = Math.max(...spreads.map(([, spread]) => spread.median));
    const result = {
      precision,
      workers,
      ours: spreadOf(ours),
      peer: Object.fromEntries(spreads),
      ratio: spreads.length === 0 ? null : median(ours) / best,
    };
    return { result, versions: peer?.versions ?? null };
  } finally {
    await Promise.all(open.map((one) => one.close()));
  }
}
