/**
 * `npm run bench:exactness-cost [-- --rounds 7 --steps 6 --warm-up 40 --workers 2]`: what a step costs with sums that are the
 * same bits for any number of workers (`--gradient-wire int32`) beside plain float32 sums, at MiniLM's shape, 8 rows of 128
 * tokens per worker, dropout 0.1. `--short`: a tiny model, to try the harness.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { bertShapes, writeRandomBert } from "./support/random-bert.ts";
import { printReport } from "./support/report.ts";
import { formatSpread, howRatios, ratioOfMedians, spreadOf } from "./support/statistics.ts";
import { stepArguments } from "./support/step-arguments.ts";
import { measureInTurns } from "./support/turns.ts";
import { warmUpSteps } from "./support/warm-up.ts";

const rows = 8;
const wires = ["int32", "float32"] as const;

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    rounds: 7,
    steps: 6,
    "warm-up": 0,
    workers: 2,
    short: false,
    // There is no peer; the flag is every bench's.
    "no-peer": false,
  });
  const { rounds, steps, workers } = flags;
  const warmUp = warmUpSteps(flags);
  const shape = bertShapes[flags.short ? "tiny" : "minilm"]!;
  const tokens = flags.short ? 16 : 128;
  const folder = benchFolder("exactness-cost");
  let measured: readonly (readonly number[])[] = [];
  try {
    const modelFolder = join(folder, "model");
    const trainFile = join(folder, "train.jsonl");
    await writeRandomBert(modelFolder, shape, 0.1);
    writeFullRows(trainFile, shape, tokens);
    const job = { modelFolder, trainFile, rows, tokens, precision: "fp32", workers } as const;
    const sides = wires.map((wire) => ({
      name: wire,
      args: [...stepArguments(job), "--gradient-wire", wire],
    }));
    measured = await measureInTurns(sides, { folder, rounds, steps, warmUp });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const [exact = [], plain = []] = measured;
  const results = [
    {
      workers,
      int32: spreadOf(exact),
      float32: spreadOf(plain),
      cost: ratioOfMedians(exact, plain),
    },
  ];
  const title = `milliseconds a step, ${flags.short ? "tiny model" : "MiniLM shape"}, ${rows} × ${tokens} per worker, fp32, dropout 0.1, ${rounds} rounds in turn of ${steps} steps after ${warmUp}: ${howRatios}`;
  const table = [
    ["workers", "int32 (exact)", "float32", "int32 ÷ float32"],
    ...results.map((result) => [
      String(result.workers),
      formatSpread(result.int32),
      formatSpread(result.float32),
      formatSpread(result.cost, 3),
    ]),
  ];
  const sizes = { rounds, steps, warmUp };
  printReport("exactness-cost", [{ title, rows: table }], { versions: null, ...sizes, results });
}

await runBench(main);
