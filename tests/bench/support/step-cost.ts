/** What something costs a step: the same run with it and without, in turn, one worker on all cores, 8 rows of 128 tokens. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { readBenchFlags } from "./bench-flags.ts";
import { writeFullRows } from "./full-rows.ts";
import { benchFolder } from "./leftovers.ts";
import { bertShapes, shapeNames, writeRandomBert } from "./random-bert.ts";
import { printReport, tellProgress } from "./report.ts";
import { formatSpread, howRatios, ratioOfMedians, spreadOf } from "./statistics.ts";
import { stepArguments } from "./step-arguments.ts";
import { measureInTurns, type Side } from "./turns.ts";
import { warmUpSteps } from "./warm-up.ts";

const rows = 8;

/** One of two runs. */
export interface Form {
  readonly name: string;
  /** The model's. */
  readonly dropout: number;
  readonly gradientCheckpointing: boolean;
}

/** Measures a bench's two forms, for each model and precision, and prints the report. */
export async function benchStepCost(
  bench: string,
  forms: readonly [Form, Form],
  args: readonly string[],
): Promise<void> {
  const flags = readBenchFlags(args, {
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
  const folder = benchFolder(bench);
  const trainFile = join(folder, "train.jsonl");
  const results = [];
  try {
    for (const model of flags.short ? ["tiny"] : shapeNames(flags.models)) {
      const shape = bertShapes[model]!;
      writeFullRows(trainFile, shape, tokens);
      for (const precision of (["fp32", "bf16"] as const).filter((one) =>
        flags.precision.includes(one),
      )) {
        tellProgress(`${model}, ${precision}`);
        const sides: Side[] = [];
        for (const [index, { dropout, gradientCheckpointing }] of forms.entries()) {
          const modelFolder = join(folder, `${model}-${dropout}`);
          rmSync(modelFolder, { recursive: true, force: true });
          await writeRandomBert(modelFolder, shape, dropout);
          const form = { modelFolder, trainFile, rows, tokens, precision, gradientCheckpointing };
          const name = `${model}-${precision}-${index}`;
          sides.push({ name, args: stepArguments({ ...form, workers: 1 }) });
        }
        const [withIt = [], without = []] = await measureInTurns(sides, {
          folder,
          rounds,
          steps,
          warmUp,
        });
        const cost = ratioOfMedians(withIt, without);
        const spreads = { with: spreadOf(withIt), without: spreadOf(without), cost };
        results.push({ model, precision, ...spreads });
      }
    }
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const title = `milliseconds a step, ${rows} × ${tokens}, 1 worker on all cores, ${rounds} rounds in turn of ${steps} steps after ${warmUp}: ${howRatios}`;
  const [one, other] = forms;
  const table = [
    ["model", "precision", one.name, other.name, `${one.name} ÷ ${other.name}`],
    ...results.map((result) => [
      result.model,
      result.precision,
      formatSpread(result.with),
      formatSpread(result.without),
      formatSpread(result.cost, 3),
    ]),
  ];
  const sizes = { rounds, steps, warmUp };
  printReport(bench, [{ title, rows: table }], { versions: null, ...sizes, results });
}
