/** Flags of `coordinator` for benches that train on full rows: the same batch at every step, nothing but steps. */

import type { Precision } from "../../../foundation/precision.ts";

/** What is trained. */
export interface StepJob {
  readonly modelFolder: string;
  readonly trainFile: string;
  /** Rows of a worker's microbatch. */
  readonly rows: number;
  readonly tokens: number;
  readonly workers: number;
  readonly precision: Precision;
  /** Default: cpu. */
  readonly device?: "cpu" | "gpu";
  /** Default: false. */
  readonly gradientCheckpointing?: boolean;
  /** Default: max_length. */
  readonly padding?: "max_length" | "none";
}

/** The flags. */
export function stepArguments(job: StepJob): readonly string[] {
  return [
    ["--model", job.modelFolder],
    ["--train-file", job.trainFile],
    ["--workers", String(job.workers)],
    ["--per-device-train-batch-size", String(job.rows)],
    ["--train-batch-size", String(job.rows * job.workers)],
    ["--max-length", String(job.tokens)],
    ["--padding", job.padding ?? "max_length"],
    ["--weight-decay", "0.01"],
    ["--device", job.device ?? "cpu"],
    job.precision === "fp32" ? [] : [`--${job.precision}`],
    job.gradientCheckpointing === true ? ["--gradient-checkpointing"] : [],
  ].flat();
}
