/**
 * Exactness: one SHA-256 of the final model for every number of workers and for a run that was resumed with another number,
 * per precision; `coordinator verify` says the same of every step.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Precision } from "../../foundation/precision.ts";
import { runCoordinator } from "../bench/support/coordinator.ts";
import { bertShapes, wordCount, wordOf, writeRandomBert } from "../bench/support/random-bert.ts";
import { tellProgress } from "../bench/support/report.ts";
import { hashOf } from "../support/story-run.ts";
import type { AcceptancePlan } from "./plan.ts";

/** One run. */
export interface ExactRun {
  readonly name: string;
  readonly workers: number;
  readonly sha256: string;
  readonly seconds: number;
}

/** The runs of one precision. */
export interface ExactResult {
  readonly precision: Precision;
  readonly runs: readonly ExactRun[];
  /** Whether all have one hash, and every step of each was found equal to the first's. */
  readonly isOne: boolean;
}

const microbatches = 8;
const rowCount = 640;

/** Texts of several lengths, so that several programs run. */
function writeTexts(file: string, words: number, tokens: number): void {
  const lines = Array.from({ length: rowCount }, (_, row) => {
    const length = 3 + ((row * 37) % (tokens - 4));
    const text = Array.from({ length }, (__, k) => wordOf((row * 7919 + k * 31) % words));
    return JSON.stringify({ text: text.join(" "), label: row % 2 === 0 ? "a" : "b" });
  });
  writeFileSync(file, `${lines.join("\n")}\n`);
}

const nameOf = (workers: number): string => (workers === 1 ? "1 worker" : `${workers} workers`);

/** On a CPU a narrow precision is forced, slow as it may be. */
export function forceFlags(
  precision: Precision,
  device: AcceptancePlan["device"],
): readonly string[] {
  return precision === "fp32" || device === "gpu" ? [] : [`--force-${precision}`];
}

/** Trains with every number of workers and precision. */
export async function testExactness(
  plan: AcceptancePlan,
  folder: string,
): Promise<readonly ExactResult[]> {
  const shape = bertShapes[plan.short ? "tiny" : "minilm"]!;
  const [model, trainFile] = [join(folder, "exact-model"), join(folder, "texts.jsonl")];
  await writeRandomBert(model, shape, 0.1);
  writeTexts(trainFile, wordCount(shape), plan.tokens);
  const [steps, rows] = [plan.short ? 6 : 40, plan.short ? 2 : 8];
  const job = [
    ["--model", model, "--train-file", trainFile, "--device", plan.device],
    ["--per-device-train-batch-size", String(rows), "--max-length", String(plan.tokens)],
    ["--train-batch-size", String(rows * microbatches), "--max-grad-norm", "0.5"],
    ["--weight-decay", "0.01", "--max-steps", String(steps), "--eval-strategy", "no"],
    ["--save-strategy", "steps", "--save-steps", String(steps / 2)],
  ].flat();
  const results: ExactResult[] = [];
  for (const precision of plan.precisions) {
    const output = (name: string): string => join(folder, `exact-${precision}-${name}`);
    const runs: ExactRun[] = [];
    const train = async (name: string, workers: number, args: readonly string[]): Promise<void> => {
      const start = performance.now();
      const where = ["--workers", String(workers), "--output-dir", output(name)];
      await runCoordinator([...args, ...where]);
      const sha256 = await hashOf(join(output(name), "model.safetensors"));
      const seconds = (performance.now() - start) / 1000;
      runs.push({ name, workers, sha256, seconds });
      tellProgress(`exactness, ${precision}, ${name}: ${sha256.slice(0, 16)}`);
    };
    const wanted = precision === "fp32" ? [] : [`--${precision}`];
    const flags = [...wanted, ...forceFlags(precision, plan.device)];
    for (const workers of plan.workers) await train(nameOf(workers), workers, [...job, ...flags]);
    const [first = 1, last = first] = [plan.workers[0], plan.workers.at(-1)];
    const checkpoint = join(output(nameOf(first)), `checkpoint-${steps / 2}`);
    await train("resumed", last, ["--resume-from-checkpoint", checkpoint]);
    let isOne = new Set(runs.map(({ sha256 }) => sha256)).size === 1;
    for (const { name } of runs.slice(1)) {
      // Ends with another exit code where anything differs.
      const verifying = runCoordinator(["verify", output(nameOf(first)), output(name)]);
      await verifying.catch((error: unknown) => {
        tellProgress(error instanceof Error ? error.message : String(error));
        isOne = false;
      });
    }
    results.push({ precision, runs, isOne });
  }
  return results;
}
