/** The one report of a run that lost a worker: which, when, how, its last words, and how to go on. Pure. */
import { describeEnd } from "../launch/guard.ts";
import type { WorkerEnd } from "../launch/launcher.ts";

/** What is known of the loss. */
export interface Loss {
  readonly workerId: string;
  /** Rank that it had; null before the first ring. */
  readonly rank: number | null;
  /** `left` when it said that it was told to leave. */
  readonly manner: "lost" | "left";
  readonly at: Date;
  /** Why the coordinator takes it for lost, in words. */
  readonly reason: string;
  /** What the worker itself said of it; empty when nothing. */
  readonly detail: string;
  /** How its process ended; null when that is not ours to know. */
  readonly end: WorkerEnd["end"];
  readonly lastLines: readonly string[];
  readonly logFile: string | null;
  /** Last committed step and the folder of the checkpoint to go on from, if any; null when nothing was trained. */
  readonly training: { readonly step: number; readonly checkpoint: string | null } | null;
}

/** The report's lines. */
export function lossReport(loss: Loss): readonly string[] {
  const { workerId, rank, manner, reason, end, detail, lastLines, logFile, training } = loss;
  const place = rank === null ? "" : ` (rank ${rank})`;
  const how = end === null ? reason : `${reason}; its process: ${fateOf(end)}`;
  const words = [...(detail === "" ? [] : detail.split("\n")), ...lastLines];
  const log =
    words.length === 0 ? [] : [`  its last words${logFile === null ? "" : ` (${logFile})`}:`];
  return [
    `${workerId}${place} ${manner === "left" ? "left" : "was lost"}${whenOf(loss)}: ${how}`,
    ...log,
    ...words.map((line) => `    ${line}`),
    ...(training === null ? [] : [adviceOf(training.checkpoint)]),
  ];
}

function fateOf(end: NonNullable<WorkerEnd["end"]>): string {
  return end.kind === "running" ? "still there" : describeEnd(end);
}

function whenOf({ rank, manner, training, at }: Loss): string {
  const time = ` (${at.toISOString()})`;
  if (training === null) return time;
  if (rank === null) return ` before the first step${time}`;
  return manner === "left"
    ? ` after step ${training.step}${time}`
    : ` in step ${training.step + 1}${time}`;
}

function adviceOf(checkpoint: string | null): string {
  return checkpoint === null
    ? "  there is no checkpoint yet: start again"
    : `  to go on: coordinator --resume-from-checkpoint ${checkpoint}`;
}
