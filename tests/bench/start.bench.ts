/**
 * `npm run bench:start [-- --workers 1,4 --rounds 5]`: seconds from the command to the first committed step, and what they
 * go into, with everything in the cache: the quick start, MiniLM, all lengths compiled. The first round fills the cache
 * and is left out. `--short`: a tiny model, to try the harness.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { readEvents, startCoordinator } from "./support/coordinator.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, spreadOf } from "./support/statistics.ts";

/** What a start goes through; each phase ends with a line that begins so, or with an event. */
const phases = [
  { name: "command line read, packages loaded", line: "Fine-tuning a model" },
  { name: "model and data opened", line: "  samples " },
  { name: "NATS and metrics page started", line: "starting " },
  { name: "workers joined", line: "preparing" },
  { name: "programs loaded", line: "forming the ring" },
  { name: "weights loaded, ring formed", event: "RingFormed" },
  { name: "first step committed", event: "StepCommitted" },
] as const;

const servicesLine = /^starting \d+ workers/u;

function lineOf(phase: (typeof phases)[number], line: string): boolean {
  if (!("line" in phase)) return false;
  return phase.line === "starting " ? servicesLine.test(line) : line.startsWith(phase.line);
}

/** Seconds since the command at which each phase ended. */
async function startOnce(args: readonly string[], output: string): Promise<readonly number[]> {
  rmSync(output, { recursive: true, force: true });
  const startMs = Date.now();
  const run = startCoordinator([
    ...args,
    "--max-steps",
    "1",
    "--eval-strategy",
    "no",
    "--save-strategy",
    "no",
    "--output-dir",
    output,
  ]);
  const ends = new Map<string, number>();
  let rest = "";
  run.child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    for (const phase of phases) {
      if (!ends.has(phase.name) && lines.some((line) => lineOf(phase, line))) {
        ends.set(phase.name, Date.now());
      }
    }
  });
  const code = await run.ended;
  if (code !== 0) throw new Error(`the run ended with ${code}:\n${run.text()}`);
  for (const phase of phases) {
    if (!("event" in phase)) continue;
    ends.set(phase.name, readEvents(output, phase.event, z.unknown())[0]?.atMs ?? Number.NaN);
  }
  return phases.map(({ name }) => ((ends.get(name) ?? Number.NaN) - startMs) / 1000);
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    workers: ["1", "4"],
    rounds: 5,
    short: false,
    "no-peer": false,
  });
  const folder = benchFolder("start");
  const results = [];
  try {
    const job: string[] = [];
    if (flags.short) {
      const [modelFolder, trainFile] = [join(folder, "tiny"), join(folder, "train.jsonl")];
      await writeRandomBert(modelFolder, bertShapes["tiny"]!, 0.1);
      writeFullRows(trainFile, bertShapes["tiny"]!, 16);
      job.push("--model", modelFolder, "--train-file", trainFile, "--max-length", "16");
    }
    for (const workers of flags.workers.map(Number)) {
      const rounds: (readonly number[])[] = [];
      for (let round = 0; round <= flags.rounds; round++) {
        const ends = await startOnce([...job, "--workers", String(workers)], join(folder, "run"));
        tellProgress(`${workers} workers: ${ends.at(-1)?.toFixed(1)} s`);
        if (round > 0) rounds.push(ends);
      }
      const secondsOf = (phase: number) =>
        spreadOf(rounds.map((ends) => (ends[phase] ?? Number.NaN) - (ends[phase - 1] ?? 0)));
      results.push({
        workers,
        firstStep: spreadOf(rounds.map((ends) => ends.at(-1) ?? Number.NaN)),
        phases: phases.map(({ name }, phase) => ({ name, seconds: secondsOf(phase) })),
      });
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const tables = results.map((result) => ({
    title: `seconds to the first step, ${result.workers} workers, ${flags.rounds} rounds: median (least–most)`,
    rows: [
      ["phase", "seconds"],
      ...result.phases.map(({ name, seconds }) => [name, formatSpread(seconds, 2)]),
      ["all", formatSpread(result.firstStep, 2)],
    ],
  }));
  printReport("start", tables, { versions: null, rounds: flags.rounds, results });
}

await runBench(main);
