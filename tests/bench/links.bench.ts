/**
 * `npm run bench:links [-- --mbits unshaped,10000,1000,200 --wires int32,int16,int8-block --hooks none,bf16,powersgd --workers 2
 * --precision fp32 --rounds 7 --steps 5 --loss-steps 100]`: samples/s of workers on separate hosts (network namespaces) whose links are held to
 * a speed by a token bucket (`tc tbf`), each of our wire formats beside PyTorch DDP over gloo with each of its communication hooks,
 * in turn, MiniLM's shape, 8 rows of 128 tokens per worker, dropout 0.1. Ours is the real program, one process a host. Beside it
 * the floor of all workers' steps on all cores.
 * `unshaped`: the same hosts and links without a bucket, for the ratio that a slower link is compared with. What a format or a hook
 * costs in learning: each side trains `--loss-steps` steps on the same rows, from the same weights, at a constant learning rate.
 * `--short`: a tiny model; `--no-peer`: our side only. Skips, saying so, where namespaces are not permitted.
 */
import { availableParallelism } from "node:os";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { createNetwork, networksPermitted } from "../support/network-hosts.ts";
import { readBenchFlags, runBench, WrongFlag } from "./support/bench-flags.ts";
import { modelProducts, stepFlops } from "./support/floor.ts";
import { floorLine, floorOf, shareOf, shareText } from "./support/floor-share.ts";
import { writeFullRows, writeLearnableRows } from "./support/full-rows.ts";
import { placeOnHosts, trainOnHosts, type HostsJob } from "./support/hosts-run.ts";
import { benchFolder, endWithBench } from "./support/leftovers.ts";
import { lossesOf, type EndLoss } from "./support/link-losses.ts";
import { MatmulRates, type BestRate } from "./support/matmul-rates.ts";
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
import { TrainPeer, type PeerHook, type PeerVersions } from "./support/train-peer.ts";

const warmUpSteps = 3;
const tuningSteps = 2;
const hookSchema = z.enum(["none", "bf16", "powersgd"]);

/** Mbit/s that a link is held to; null for one that is not. */
type Speed = number | null;

function readSpeed(text: string): Speed {
  if (text === "unshaped") return null;
  const megabits = Number(text);
  if (megabits > 0) return megabits;
  throw new WrongFlag(`--mbits: expected numbers above 0 or unshaped, found ${text}`);
}

function nameOf(speed: Speed): string {
  return speed === null ? "unshaped" : String(speed);
}

interface Job extends HostsJob {
  readonly rounds: number;
  readonly steps: number;
  readonly wires: readonly string[];
  readonly hooks: readonly PeerHook[];
}

/** What one contender came to at one speed. */
interface Row {
  readonly megabits: Speed;
  readonly side: "ours" | "pytorch";
  /** Our wire format, or DDP's hook. */
  readonly form: string;
  readonly perSecond: number[];
}

/** Steps after which losses are compared: enough that formats can be told apart. */
function lossStepsOf(flags: { readonly "loss-steps": number; readonly short: boolean }): number {
  if (flags["loss-steps"] > 0) return flags["loss-steps"];
  return flags.short ? 3 : 100;
}

function rate({ rows, workers }: Job, ms: readonly number[]): number {
  return (rows * workers * 1000) / median(ms);
}

function hostNames(workers: number): readonly string[] {
  return ["lead", ...Array.from({ length: workers }, (_, index) => `worker-${index}`)];
}

/** Measures all contenders over one speed, after matrix products; the sides take turns in who is first. */
async function measure(
  job: Job,
  megabits: Speed,
  rates: MatmulRates,
): Promise<{ rows: Row[]; versions: PeerVersions | null }> {
  const network = createNetwork(hostNames(job.workers));
  const peers: { readonly hook: PeerHook; readonly peer: TrainPeer }[] = [];
  const rows: Row[] = [];
  const rowOf = (side: Row["side"], form: string): Row => {
    const row = { megabits, side, form, perSecond: [] };
    rows.push(row);
    return row;
  };
  try {
    if (megabits !== null) for (const host of network.hosts.slice(1)) host.limit(megabits);
    const { modelFolder, rows: perWorker, tokens, precision, workers } = job;
    const peerJob = { modelFolder, rows: perWorker, tokens, precision, worldSize: workers };
    const turns = job.wires.map((wire) => {
      const row = rowOf("ours", wire);
      return async (): Promise<number> => {
        const { stepMs } = await trainOnHosts(network, job, {
          wire,
          steps: warmUpSteps + job.steps,
        });
        row.perSecond.push(rate(job, stepMs.slice(warmUpSteps)));
        return row.perSecond.at(-1) ?? Number.NaN;
      };
    });
    for (const hook of job.hooks) {
      const peer = await TrainPeer.start({ ...peerJob, hook, place: placeOnHosts(network) });
      peers.push({ hook, peer });
      await peer.chooseThreads(tuningSteps);
      const row = rowOf("pytorch", hook);
      turns.push(async () => {
        row.perSecond.push(rate(job, await peer.steps("eager", job.steps)));
        return row.perSecond.at(-1) ?? Number.NaN;
      });
    }
    for (let round = 0; round < job.rounds; round++) {
      await rates.round();
      const found = new Map<number, number>();
      const order = [...turns.keys()];
      for (const index of round % 2 === 0 ? order : order.reverse()) {
        found.set(index, (await turns[index]?.()) ?? Number.NaN);
      }
      const told = rows.map(({ form }, index) => `${form} ${found.get(index)?.toFixed(1)}`);
      tellProgress(
        `Mbit/s: ${nameOf(megabits)}, round ${round + 1} of ${job.rounds}: ${told.join(", ")}`,
      );
    }
    return { rows, versions: peers[0]?.peer.versions ?? null };
  } finally {
    for (const { peer } of peers) await peer.close();
    network.remove();
  }
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    mbits: ["unshaped", "10000", "1000", "200"],
    wires: ["int32", "int16", "int8-block"],
    hooks: ["none", "bf16", "powersgd"],
    workers: 2,
    precision: "fp32",
    rounds: 7,
    steps: 5,
    "loss-steps": 0,
    short: false,
    "no-peer": false,
  });
  const speeds = flags.mbits.map(readSpeed);
  if (!networksPermitted()) {
    const skipped = "network namespaces are not permitted here";
    console.log(`Skipped: ${skipped}`);
    console.log(JSON.stringify({ bench: "links", skipped }));
    return;
  }
  const shape = bertShapes[flags.short ? "tiny" : "minilm"]!;
  const tokens = flags.short ? 16 : 128;
  const folder = benchFolder("links");
  const precision = flags.precision === "bf16" ? ("bf16" as const) : ("fp32" as const);
  const job: Job = {
    folder,
    modelFolder: join(folder, "model"),
    trainFile: join(folder, "train.jsonl"),
    rows: 8,
    tokens,
    workers: flags.workers,
    threads: Math.max(1, Math.floor(availableParallelism() / flags.workers)),
    precision,
    rounds: flags.rounds,
    steps: flags.steps,
    wires: flags.wires,
    hooks: flags["no-peer"] ? [] : flags.hooks.map((hook) => hookSchema.parse(hook)),
    onStarted: endWithBench,
  };
  const lossSteps = lossStepsOf(flags);
  const measured: Row[] = [];
  let losses: readonly EndLoss[] = [];
  let versions: PeerVersions | null = null;
  let rate: BestRate;
  try {
    await writeRandomBert(job.modelFolder, shape, 0.1);
    writeFullRows(job.trainFile, shape, tokens);
    const rates = await MatmulRates.start(
      modelProducts(shape, job),
      precision,
      job.hooks.length > 0,
    );
    try {
      for (const megabits of speeds) {
        const one = await measure(job, megabits, rates);
        versions = one.versions;
        measured.push(...one.rows);
      }
      rate = rates.best;
    } finally {
      await rates.close();
    }
    writeLearnableRows(job.trainFile, tokens);
    const network = createNetwork(hostNames(job.workers));
    try {
      losses = await lossesOf(network, job, lossSteps);
    } finally {
      network.remove();
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  // All hosts share this machine's cores.
  const floor = floorOf(job.workers * stepFlops(shape, job, "first-row"), rate);
  const beside = (row: Row, hook: string): Spread | null => {
    const peer = measured.find(
      (one) => one.megabits === row.megabits && one.side === "pytorch" && one.form === hook,
    );
    return peer === undefined ? null : ratioOfMedians(row.perSecond, peer.perSecond);
  };
  const results = measured.map((row) => {
    const { megabits, side, form, perSecond } = row;
    const spread = spreadOf(perSecond);
    const end = losses.find((one) => one.side === side && one.form === form);
    const { loss, meanLoss } = end ?? { loss: null, meanLoss: null };
    if (side === "pytorch")
      return { megabits, side, form, samplesPerSecond: spread, loss, meanLoss };
    const ratios: Record<string, Spread | null> = Object.fromEntries(
      job.hooks.map((hook) => [hook, beside(row, hook)]),
    );
    const ofFloor = shareOf(floor, (job.rows * job.workers) / spread.median);
    return {
      megabits,
      side,
      form,
      samplesPerSecond: spread,
      loss,
      meanLoss,
      ratios,
      floor: ofFloor,
    };
  });
  const table = [
    [
      "Mbit/s",
      "side",
      "wire or hook",
      "samples/s",
      ...job.hooks.map((hook) => `÷ DDP ${hook}`),
      "share of the floor",
      "loss after",
      "its mean",
    ],
    ...results.map((r) => [
      nameOf(r.megabits),
      r.side === "ours" ? "Ringmaster" : "PyTorch DDP",
      r.form,
      formatSpread(r.samplesPerSecond),
      ...job.hooks.map((hook) => {
        const ratio = r.ratios?.[hook] ?? null;
        return ratio === null ? "" : formatSpread(ratio, 2);
      }),
      shareText(r.floor),
      r.loss?.toFixed(4) ?? "",
      r.meanLoss?.toFixed(4) ?? "",
    ]),
  ];
  const title = `${flags.workers} workers on hosts of their own, ${flags.short ? "tiny model" : "MiniLM shape"}, ${job.rows} × ${tokens} per worker, ${precision}, dropout 0.1, ${flags.rounds} rounds in turn of ${flags.steps} steps: ${howRatios}; loss after ${lossSteps} steps of learning, and its mean over their last tenth`;
  const { rounds, steps } = flags;
  const facts = { versions, rounds, steps, lossSteps, precision, results };
  const below = [floorLine(`a step of ${job.workers} workers`, floor)];
  printReport("links", [{ title, rows: table, below }], facts);
}

await runBench(main);
