/**
 * `npm run bench:dropout-cost [-- --models minilm --precision fp32,bf16 --rounds 15 --steps 4 --warm-up 40]`: what a step of 8 × 128
 * tokens costs with dropout 0.1 beside one without, one worker on all cores. `--short`: a tiny model, to try the harness.
 */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { writeFullRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { bertShapes, shapeNames, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { formatSpread, howRatios, ratioOfMedians, spreadOf } from "./support/statistics.ts";
import { stepArguments } from "./support/step-arguments.ts";
import { measureInTurns, type Side, type Turns } from "./support/turns.ts";
import { warmUpSteps } from "./support/warm-up.ts";

const rows = 8;
const rates = [0.1, 0] as const;

/** Measures one line. */
async function measure(
  { model, precision }: { readonly model: string; readonly precision: "fp32" | "bf16" },
  tokens: number,
  turns: Turns,
) {
  const shape = bertShapes[model]!;
  const trainFile = join(turns.folder, "train.jsonl");
  writeFullRows(trainFile, shape, tokens);
  const sides: Side[] = [];
  for (const rate of rates) {
    const modelFolder = join(turns.folder, `${model}-${rate}`);
    rmSync(modelFolder, { recursive: true, force: true });
    await writeRandomBert(modelFolder, shape, rate);
    const job = { modelFolder, trainFile, rows, tokens, precision, workers: 1 };
    sides.push({ name: `${model}-${precision}-dropout-${rate}`, args: stepArguments(job) });
  }
  const [dropping = [], keeping = []] = await measureInTurns(sides, turns);
  return {
    model,
    precision,
    dropout: spreadOf(dropping),
    none: spreadOf(keeping),
    cost: ratioOfMedians(dropping, keeping),
  };
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    models: ["minilm"],
    precision: ["fp32", "bf16"],
    rounds: 15,
    steps: 4,
    "warm-up": 0,
    short: false,
    // There is no peer; the flag is every bench's.
    "no-peer": false,
  });
  const { rounds, steps } = flags;
  const warmUp = warmUpSteps(flags);
  const tokens = flags.short ? 16 : 128;
  const folder = benchFolder("dropout-cost");
  const results: Awaited<ReturnType<typeof measure>>[] = [];
  try {
    for (const model of flags.short ? ["tiny"] : shapeNames(flags.models)) {
      for (const precision of (["fp32", "bf16"] as const).filter((p) =>
        flags.precision.includes(p),
      )) {
        tellProgress(`${model}, ${precision}`);
        results.push(
          await measure({ model, precision }, tokens, { folder, rounds, steps, warmUp }),
        );
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const title = `milliseconds a step, ${rows} × ${tokens}, 1 worker on all cores, ${rounds} rounds in turn of ${steps} steps after ${warmUp}: ${howRatios}`;
  const table = [
    ["model", "precision", `dropout ${rates[0]}`, "no dropout", "dropout ÷ none"],
    ...results.map((result) => [
      result.model,
      result.precision,
      formatSpread(result.dropout),
      formatSpread(result.none),
      formatSpread(result.cost, 3),
    ]),
  ];
  const sizes = { rounds, steps, warmUp };
  printReport("dropout-cost", [{ title, rows: table }], { versions: null, ...sizes, results });
}

await runBench(main);
