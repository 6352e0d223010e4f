/** `coordinator runs`: what has been trained, newest last. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { BadInput } from "../../foundation/bad-input.ts";
import { say, type CommandContext } from "./command-context.ts";
import { outputFormat } from "./output-format.ts";
import { summarizeRun, type RunSummary } from "./run-summary.ts";
import { textTable } from "./text-table.ts";

function rowOf(run: RunSummary): string[] {
  const steps = run.totalSteps === 0 ? String(run.step) : `${run.step} of ${run.totalSteps}`;
  const best = run.best === null ? "" : `${run.metric} ${run.best.toFixed(4)}`;
  return [run.folder, run.job, run.model, run.state, steps, best];
}

async function namesIn(folder: string, isDefault: boolean): Promise<string[]> {
  try {
    return await readdir(folder);
  } catch (error) {
    const code = error instanceof Error && "code" in error ? error.code : "";
    if (isDefault && code === "ENOENT") return [];
    throw new BadInput({
      file: folder,
      expected: "a folder with runs",
      found: code === "ENOENT" ? "none" : String(code),
    });
  }
}

/** Lists the runs under a folder, or the run that the folder itself is. Resolves with the exit code. */
export async function runRuns(
  operands: readonly string[],
  flags: Readonly<Record<string, unknown>>,
  context: CommandContext,
): Promise<number> {
  const format = outputFormat(flags["format"]);
  const folder = operands[0] ?? "runs";
  const names = await namesIn(folder, operands[0] === undefined);
  const own = await summarizeRun(folder);
  const found =
    own === null ? await Promise.all(names.map((name) => summarizeRun(join(folder, name)))) : [own];
  const runs = found
    .filter((run) => run !== null)
    .sort(
      (a, b) =>
        (a.startedAt ?? "").localeCompare(b.startedAt ?? "") || a.folder.localeCompare(b.folder),
    );
  if (format === "jsonl") {
    for (const run of runs) say(context, JSON.stringify(run));
    return 0;
  }
  if (runs.length === 0) {
    say(context, `No runs under ${folder}. \`coordinator --workers 4\` makes one.`);
    return 0;
  }
  const head = ["run", "job", "model", "state", "steps", "best"];
  for (const line of textTable([head, ...runs.map(rowOf)])) say(context, line);
  return 0;
}
