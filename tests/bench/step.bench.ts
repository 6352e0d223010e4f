/**
 * `npm run bench:step [-- --models minilm,bert-base --dropout 0.1,0 --precision fp32,bf16 --rounds 7 --steps 4 --warm-up 40]`: a
 * full training step (forward, backward, clipping, AdamW) of 8 × 128 tokens, one worker on all cores, beside PyTorch eager and
 * torch.compile, and the floor that this machine's best matrix product rate sets. Ours is the real program, paused while
 * others are measured; it runs a second time with its last layer computed whole, to show what leaving rows out gives. `--short`: a tiny model, to try the harness; `--no-peer`: our side only.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { coordinatorKnows } from "./support/coordinator.ts";
import { modelProducts } from "./support/floor.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { MatmulRates } from "./support/matmul-rates.ts";
import { allocatorVariables, type Allocator } from "./support/peer-way.ts";
import { startPausedRun } from "./support/paused-run.ts";
import { bertShapes, lastLayerWhole, shapeNames, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { howRatios, median } from "./support/statistics.ts";
import {
  evaluate,
  stepTable,
  type ChosenPeer,
  type StepCell,
  type StepResult,
} from "./support/step-report.ts";
import { stepArguments } from "./support/step-arguments.ts";
import { TrainPeer, type PeerMode, type PeerVersions } from "./support/train-peer.ts";
import { warmUpSteps } from "./support/warm-up.ts";

const rows = 8;
const tuningSteps = 3;

interface Sizing {
  readonly folder: string;
  readonly tokens: number;
  readonly rounds: number;
  readonly steps: number;
  readonly warmUp: number;
  readonly modes: readonly PeerMode[];
  readonly allocators: readonly Allocator[];
}

/** Starts the peer with its own and with our allocator settings, and keeps the faster one for each mode. */
async function choosePeers(
  modelFolder: string,
  { tokens, modes, allocators }: Sizing,
  precision: "fp32" | "bf16",
): Promise<readonly ChosenPeer[]> {
  const candidates: ChosenPeer[] = [];
  const peers: TrainPeer[] = [];
  const best = new Map<PeerMode, { readonly chosen: ChosenPeer; readonly ms: number }>();
  try {
    for (const allocator of allocators) {
      const env = allocatorVariables(allocator);
      const peer = await TrainPeer.start({ modelFolder, rows, tokens, precision, env });
      peers.push(peer);
      await peer.chooseThreads(tuningSteps);
      candidates.push(...modes.map((mode) => ({ mode, peer, allocator })));
    }
    // Compiling happens in the first step, and takes a minute.
    for (const { mode, peer } of candidates) await peer.steps(mode, 2);
    for (const chosen of candidates) {
      const ms = median(await chosen.peer.steps(chosen.mode, tuningSteps));
      const known = best.get(chosen.mode);
      if (known === undefined || ms < known.ms) best.set(chosen.mode, { chosen, ms });
    }
  } catch (error) {
    await Promise.all(peers.map((peer) => peer.close()));
    throw error;
  }
  const kept = [...best.values()].map(({ chosen }) => chosen);
  const unused = peers.filter((peer) => !kept.some((chosen) => chosen.peer === peer));
  await Promise.all(unused.map((peer) => peer.close()));
  return kept;
}

/** Measures one line: ours, each way of the peer and the matrix products in turn, round after round. */
async function measure(cell: StepCell, sizing: Sizing) {
  const shape = bertShapes[cell.model]!;
  const { folder, tokens, rounds, steps, warmUp, modes } = sizing;
  const modelFolder = join(folder, `${cell.model}-${cell.dropout}`);
  rmSync(modelFolder, { recursive: true, force: true });
  await writeRandomBert(modelFolder, shape, cell.dropout);
  const wholeFolder = `${modelFolder}-whole`;
  rmSync(wholeFolder, { recursive: true, force: true });
  await writeRandomBert(wholeFolder, shape, cell.dropout, lastLayerWhole);
  writeFullRows(join(folder, "train.jsonl"), shape, tokens);
  const products = modelProducts(shape, { rows, tokens });
  const open: { close(): Promise<void> }[] = [];
  const ours: number[] = [];
  const oursWhole: number[] = [];
  const peerMs = new Map<PeerMode, number[]>(modes.map((mode) => [mode, []]));
  try {
    const rates = await MatmulRates.start(products, cell.precision, modes.length > 0);
    open.push(rates);
    const peers = modes.length > 0 ? await choosePeers(modelFolder, sizing, cell.precision) : [];
    open.push(...new Set(peers.map(({ peer }) => peer)));
    const trainFile = join(folder, "train.jsonl");
    const job = { modelFolder, trainFile, rows, tokens, workers: 1, precision: cell.precision };
    const run = await startPausedRun(stepArguments(job), join(folder, "run"), warmUp);
    open.push(run);
    const wholeArgs = stepArguments({ ...job, modelFolder: wholeFolder });
    const wholeRun = await startPausedRun(wholeArgs, join(folder, "run-whole"), warmUp);
    open.push(wholeRun);
    for (const { mode, peer } of peers) await peer.steps(mode, warmUp);
    for (let round = 0; round < rounds; round++) {
      await rates.round();
      const sides = [
        async () => void ours.push(median(await run.steps(steps))),
        async () => void oursWhole.push(median(await wholeRun.steps(steps))),
        ...peers.map(
          ({ mode, peer }) =>
            async () =>
              void peerMs.get(mode)?.push(median(await peer.steps(mode, steps))),
        ),
      ];
      // Whoever follows the matrix products takes turns.
      for (let i = 0; i < sides.length; i++) await sides[(round + i) % sides.length]?.();
      const last = [ours, oursWhole, ...peerMs.values()].map(
        (all) => all.at(-1)?.toFixed(0) ?? "–",
      );
      tellProgress(
        `${Object.values(cell).join(" ")}, round ${round + 1} of ${rounds}: ${last.join(" beside ")} ms`,
      );
    }
    return {
      versions: peers[0]?.peer.versions ?? null,
      result: evaluate(
        cell,
        { rows, tokens },
        { ours, oursWhole, peerMs, peers, best: rates.best },
      ),
    };
  } finally {
    await Promise.all(open.map((one) => one.close()));
  }
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    models: ["minilm", "bert-base"],
    dropout: ["0.1", "0"],
    precision: ["fp32", "bf16"],
    modes: ["eager", "compile"],
    rounds: 7,
    steps: 4,
    "warm-up": 0,
    short: false,
    "no-peer": false,
  });
  const models = flags.short ? ["tiny"] : shapeNames(flags.models);
  const modes = flags["no-peer"]
    ? []
    : (["eager", "compile"] as const).filter((mode) => flags.modes.includes(mode));
  const hasBf16 = coordinatorKnows("--bf16");
  if (!hasBf16 && flags.precision.includes("bf16")) {
    tellProgress("bf16 is left out: this coordinator has no --bf16");
  }
  const precisions = (["fp32", "bf16"] as const).filter(
    (one) => flags.precision.includes(one) && (one === "fp32" || hasBf16),
  );
  const folder = benchFolder("step");
  const tokens = flags.short ? 16 : 128;
  const { rounds, steps } = flags;
  const warmUp = warmUpSteps(flags);
  const allocators: readonly Allocator[] = flags.short ? ["default"] : ["default", "ours"];
  const sizing = { folder, tokens, rounds, steps, warmUp, modes, allocators };
  const results: StepResult[] = [];
  let versions: PeerVersions | null = null;
  try {
    for (const model of models) {
      for (const dropout of flags.dropout.map(Number)) {
        for (const precision of precisions) {
          const cell = { model, dropout, precision };
          const one = await measure(cell, sizing);
          versions = one.versions;
          results.push(one.result);
        }
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const title = `training step, ${rows} × ${tokens}, 1 worker on all cores, ${rounds} rounds in turn of ${steps} steps after ${warmUp}: ${howRatios}`;
  const table = { title, rows: stepTable(results) };
  printReport("step", [table], { versions, rounds, steps, warmUp, results });
}

await runBench(main);
