/** `coordinator verify`: have two runs trained the same, bit by bit? Exit code 0: yes; 1: no; 2: bad input. */
import { BadInput } from "../../foundation/bad-input.ts";
import { areEqual, compareRuns } from "../verify/compare-runs.ts";
import type { Comparison, Difference } from "../verify/compare-runs.ts";
import { readRun } from "../verify/run-record.ts";
import type { RunRecord } from "../verify/run-record.ts";
import { say, type CommandContext } from "./command-context.ts";
import { outputFormat } from "./output-format.ts";
import { textTable } from "./text-table.ts";

const sampleOfModelHash = 16;

/** Compares the runs of two output folders. Resolves with the exit code; throws BadInput. */
export async function runVerify(
  operands: readonly string[],
  flags: Readonly<Record<string, unknown>>,
  context: CommandContext,
): Promise<number> {
  const format = outputFormat(flags["format"]);
  const [folderA = "", folderB = ""] = operands;
  const signal = context.interrupts.finish;
  const a = await readRun(folderA, signal);
  const b = await readRun(folderB, signal);
  const comparison = compareRuns(a, b);
  if (comparison.common === null) {
    throw new BadInput({
      file: folderB,
      expected: `steps that ${folderA} has too (${rangeOf(a.steps)})`,
      found: rangeOf(b.steps),
    });
  }
  const equal = areEqual(comparison);
  if (format === "jsonl")
    say(context, JSON.stringify({ a: folderA, b: folderB, equal, ...comparison }));
  else for (const line of verifyReport(a, b, comparison)) say(context, line);
  return equal ? 0 : 1;
}

/** The report for people. Pure. */
export function verifyReport(a: RunRecord, b: RunRecord, comparison: Comparison): string[] {
  const { common, agreeUpTo, parting, weightsAgreeAt, settings, machines } = comparison;
  const model = ({ model: hash }: RunRecord): string =>
    hash === null ? "none" : hash.slice(0, sampleOfModelHash);
  const lines = textTable([
    ["", "A", "B"],
    ["run", a.folder, b.folder],
    ["workers", workersOf(a), workersOf(b)],
    ["threads of each", threadsIn(a), threadsIn(b)],
    ["steps", rangeOf(a.steps), rangeOf(b.steps)],
    ["model.safetensors", model(a), model(b)],
    ...rowsOf("setting", settings),
    ...rowsOf("machine", machines),
  ]);
  lines.push("");
  const same = "loss, norm, learning rate and the gradient of every tensor are the same";
  if (parting === null) {
    lines.push(`Steps ${common?.first}–${common?.last}: ${same} in all ${common?.count}.`);
  } else {
    const before = agreeUpTo === null ? "" : ` Up to step ${agreeUpTo}, ${same}.`;
    lines.push(`The runs part at step ${parting.step}: ${parting.what}.${before}`);
  }
  if (weightsAgreeAt.length > 0) {
    lines.push(`The weights are the same after step ${weightsAgreeAt.join(", ")}.`);
  }
  lines.push(modelLine(a, b, comparison), "");
  lines.push(areEqual(comparison) ? "EQUAL" : "DIFFERENT");
  return lines;
}

function modelLine(a: RunRecord, b: RunRecord, { sameModel }: Comparison): string {
  if (sameModel === true) return `The models are the same: SHA-256 ${a.model}.`;
  if (sameModel === false) return `The models differ: SHA-256 ${a.model} and ${b.model}.`;
  const without = [a, b].filter(({ model }) => model === null).map(({ folder }) => folder);
  return `The models are not compared: there is none in ${without.join(" and ")}.`;
}

function rowsOf(kind: string, differences: readonly Difference[]): string[][] {
  return differences.map(({ name, a, b }) => [`${kind} ${name}`, a, b]);
}

/** `4`, or `4, then 2` for a run that changed. */
function workersOf({ rings }: RunRecord): string {
  const counts = rings.map(({ members }) => members.length);
  const changes = counts.filter((count, place) => count !== counts[place - 1]);
  return changes.length === 0 ? "unknown" : changes.join(", then ");
}

function threadsIn({ rings }: RunRecord): string {
  return [...new Set(rings.map(({ threads }) => threads ?? "TensorFlow's choice"))].join(", then ");
}

function rangeOf(steps: ReadonlyMap<number, unknown>): string {
  const numbers = [...steps.keys()];
  return numbers.length === 0 ? "no steps" : `${Math.min(...numbers)}–${Math.max(...numbers)}`;
}
