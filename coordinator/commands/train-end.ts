/** What `coordinator train` says at the end. Pure. */
import { cutText, metricText, shareText, tableText } from "../live/format.ts";
import { profileHeadlines } from "../profile/profile-text.ts";
import type { EvaluationView } from "../live/run-view.ts";
import type { RunOutcome } from "../run/run-outcome.ts";

function evaluationTable(evaluations: readonly EvaluationView[]): readonly string[] {
  const names = [...new Set(evaluations.flatMap(({ metrics }) => Object.keys(metrics)))];
  const rows = evaluations.map(({ epoch, step, metrics }) => [
    epoch.toFixed(2),
    String(step),
    ...names.map((name) => (metrics[name] === undefined ? "" : metricText(metrics[name]))),
  ]);
  return rows.length === 0 ? [] : ["", ...tableText([["epoch", "step", ...names], ...rows])];
}

/** Padding, and what was cut, under the table. */
function lengthLines({ lengths }: RunOutcome): readonly string[] {
  if (lengths === null || lengths.padding === 0) return [];
  const cut = cutText(lengths, lengths.maxLength) ?? "no sample was cut";
  return ["", `lengths: ${cut}; padding was ${shareText(lengths.padding)} of the computed tokens`];
}

/** What `--profile` has found, under the table. */
function profileLines({ profile }: RunOutcome): readonly string[] {
  if (profile === null) return [];
  return [
    "",
    `profile: ${profile.folder} (open rank-*.json in ui.perfetto.dev; summary.txt)`,
    ...profileHeadlines(profile.workers),
  ];
}

/** A word of a command line, quoted where a shell needs it. */
function shellWord(word: string): string {
  return /^[\w./:@%+=-]+$/.test(word) ? word : `'${word.replaceAll("'", String.raw`'\''`)}'`;
}

function resumeLine(outcome: RunOutcome): string[] {
  if (outcome.checkpoint === null) return [];
  return [`go on with it:   coordinator --resume-from-checkpoint ${shellWord(outcome.checkpoint)}`];
}

/** What the three next commands are made of. */
export interface NextSteps {
  /** A text to try the model on. */
  readonly example: string;
  /** The example's second text, or null. */
  readonly examplePair: string | null;
  /** Whether the run was the quick start, so that the user's own data is what comes next. */
  readonly isQuickstart: boolean;
}

function nextLines(folder: string, next: NextSteps): string[] {
  const pair = next.examplePair === null ? "" : ` --text-pair ${shellWord(next.examplePair)}`;
  const own = next.isQuickstart
    ? "coordinator --model quickstart --train-file train.csv --validation-file dev.csv --workers 4"
    : "coordinator train --help    (docs/job-file.md)";
  return [
    "",
    `ask the model:   coordinator predict --model ${shellWord(folder)} ${shellWord(next.example)}${pair}`,
    `watch a run:     --metrics-listen 127.0.0.1:9464 serves http://127.0.0.1:9464/metrics    (deploy/grafana)`,
    `your own data:   ${own}`,
  ];
}

/** The closing lines of a run. */
export function describeEnd(outcome: RunOutcome, next: NextSteps): readonly string[] {
  const { kind, reason, step, modelFolder } = outcome;
  const table = [
    ...evaluationTable(outcome.evaluations),
    ...lengthLines(outcome),
    ...profileLines(outcome),
  ];
  // The report of the loss has said how, and how to go on.
  if (kind === "failed") return table;
  if (modelFolder === null) {
    return [...table, "", `${kind} after step ${step}: ${reason}`, ...resumeLine(outcome)];
  }
  const how =
    kind === "completed" ? `done after ${step} steps` : `${kind} after step ${step}: ${reason}`;
  const lines = [...table, "", `${how}; the model is in ${modelFolder}`];
  return [
    ...lines,
    ...(kind === "completed" ? [] : resumeLine(outcome)),
    ...nextLines(modelFolder, next),
  ];
}
