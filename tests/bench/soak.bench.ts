/**
 * `npm run soak:memory [-- --steps 1000 --workers 1 --model minilm --rows 8 --tokens 128 --bf16 --packed --zero-stage 0 --gradient-checkpointing]`:
 * memory of each worker over a long run: proportional set size (PSS) at the end, its growth per step after the first fifth (least
 * squares), and the peak of the resident set, beside what `--dry-run` predicts. Rows fill all their tokens; with `--packed` they are of
 * all lengths, without padding, as runs go by default. `--short`: a tiny model.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { readBenchFlags, runBench } from "./support/bench-flags.ts";
import { eventsOf, runCoordinator, startCoordinator } from "./support/coordinator.ts";
import { writeFullRows, writeMixedRows } from "./support/full-rows.ts";
import { benchFolder } from "./support/leftovers.ts";
import { pssOf, startedProcesses } from "./support/process-memory.ts";
import { bertShapes, shapeNames, writeRandomBert } from "./support/random-bert.ts";
import { printReport, tellProgress } from "./support/report.ts";
import { stepArguments } from "./support/step-arguments.ts";

const mebibyte = 2 ** 20;
const sampleMs = 200;
/** Share of the steps in which caches and pools fill. */
const warmUp = 0.2;

interface Sample {
  readonly step: number;
  readonly bytes: number;
}

function textOf(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch {
    return ""; // The process has ended meanwhile.
  }
}

/** Workers among the processes that one has started; their guards are shells. */
function workersOf(root: number): readonly number[] {
  return startedProcesses(root).filter(
    (id) =>
      textOf(`/proc/${id}/cmdline`).includes("worker/bin.mjs") &&
      textOf(`/proc/${id}/comm`).trim() !== "sh",
  );
}

function peakResident(id: number): number {
  const kilobytes = /^VmHWM:\s+(\d+) kB/mu.exec(textOf(`/proc/${id}/status`))?.[1];
  return Number(kilobytes ?? 0) * 1024;
}

/** Slope of the least-squares line, in bytes a step. */
function growthPerStep(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [step, bytes] = [mean((sample) => sample.step), mean((sample) => sample.bytes)];
  const covariance = mean((sample) => (sample.step - step) * (sample.bytes - bytes));
  return covariance / mean((sample) => (sample.step - step) ** 2);
}

async function soak(args: readonly string[], output: string, steps: number) {
  const run = startCoordinator([...args, "--max-steps", String(steps), "--output-dir", output]);
  const samples = new Map<number, Sample[]>();
  const peaks = new Map<number, number>();
  const isOver = run.ended.then(() => true);
  while (!(await Promise.race([isOver, sleep(sampleMs, false)]))) {
    const step = eventsOf(output, "StepCommitted", z.unknown()).length;
    // What follows the last step writes the model out: another kind of work.
    if (step === steps) continue;
    for (const id of workersOf(run.child.pid ?? 0)) {
      const bytes = pssOf(id);
      if (bytes === 0) continue;
      peaks.set(id, Math.max(peaks.get(id) ?? 0, peakResident(id)));
      if (step > 0) samples.set(id, [...(samples.get(id) ?? []), { step, bytes }]);
    }
  }
  if ((await run.ended) !== 0) throw new Error(`the run failed:\n${run.text()}`);
  return [...samples].map(([id, all]) => ({
    pssBytes: all.at(-1)?.bytes ?? Number.NaN,
    peakBytes: peaks.get(id) ?? Number.NaN,
    growthPerStep: growthPerStep(all.filter((sample) => sample.step >= steps * warmUp)),
  }));
}

async function predicted(args: readonly string[]): Promise<number | null> {
  const text = await runCoordinator([...args, "--dry-run"]);
  const found = /memory\s+(?:about )?([\d.,]+) (MB|GB)/u.exec(text);
  const size = Number((found?.[1] ?? "").replaceAll(",", ""));
  return found === null ? null : size * (found[2] === "GB" ? 1e9 : 1e6);
}

async function main(): Promise<void> {
  const flags = readBenchFlags(process.argv.slice(2), {
    steps: 1000,
    workers: 1,
    model: "minilm",
    rows: 8,
    tokens: 128,
    bf16: false,
    packed: false,
    "zero-stage": 0,
    "gradient-checkpointing": false,
    short: false,
    "no-peer": false,
  });
  const folder = benchFolder("soak");
  try {
    const [name = ""] = flags.short ? ["tiny"] : shapeNames([flags.model]);
    const shape = bertShapes[name]!;
    const [modelFolder, trainFile] = [join(folder, "model"), join(folder, "train.jsonl")];
    const tokens = flags.short ? 16 : flags.tokens;
    await writeRandomBert(modelFolder, shape, 0.1);
    (flags.packed ? writeMixedRows : writeFullRows)(trainFile, shape, tokens);
    const { workers, steps } = flags;
    const job = stepArguments({
      modelFolder,
      trainFile,
      rows: flags.rows,
      tokens,
      workers,
      precision: flags.bf16 ? "bf16" : "fp32",
      padding: flags.packed ? "none" : "max_length",
      gradientCheckpointing: flags["gradient-checkpointing"],
    });
    const zeroStage = ["--zero-stage", String(flags["zero-stage"])];
    const args = [...job, ...zeroStage, "--eval-strategy", "no", "--save-strategy", "no"];
    const predictedBytes = await predicted(args);
    tellProgress(
      `--dry-run: ${predictedBytes === null ? "?" : (predictedBytes / mebibyte).toFixed(0)} MiB`,
    );
    const results = await soak(args, join(folder, "run"), steps);
    const rows = [
      [
        "worker",
        "PSS at the end, MiB",
        "peak resident, MiB",
        "growth, bytes a step",
        "peak ÷ predicted",
      ],
      ...results.map((one, worker) => [
        String(worker),
        (one.pssBytes / mebibyte).toFixed(0),
        (one.peakBytes / mebibyte).toFixed(0),
        one.growthPerStep.toFixed(0),
        predictedBytes === null ? "–" : (one.peakBytes / predictedBytes).toFixed(2),
      ]),
    ];
    const ways = [
      flags.bf16 ? ", bf16" : "",
      flags.packed ? ", packed" : "",
      flags["zero-stage"] === 1 ? ", --zero-stage 1" : "",
      flags["gradient-checkpointing"] ? ", gradient checkpointing" : "",
    ];
    const title = `memory of a worker over ${steps} steps, ${name}, ${flags.rows} × ${tokens}${ways.join("")}`;
    printReport("soak", [{ title, rows }], {
      versions: null,
      steps,
      tokens,
      predictedBytes,
      results,
    });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

await runBench(main);
