/** Real runs that differ in one thing, started once each and measured in turn, in blocks of steps. */
import { join } from "node:path";
import { startPausedRun, type PausedRun } from "./paused-run.ts";
import { tellProgress } from "./report.ts";
import { median } from "./statistics.ts";

/** A run that is measured. */
export interface Side {
  readonly name: string;
  /** The coordinator's flags, but where it writes. */
  readonly args: readonly string[];
}

/** How often, and how long. */
export interface Turns {
  /** Where the runs may write. */
  readonly folder: string;
  readonly rounds: number;
  /** Steps of a block. */
  readonly steps: number;
  /** Steps before the first block. */
  readonly warmUp: number;
}

/** The median step of each round in milliseconds, side by side. */
export async function measureInTurns(
  sides: readonly Side[],
  { folder, rounds, steps, warmUp }: Turns,
): Promise<readonly (readonly number[])[]> {
  const started: { readonly name: string; readonly run: PausedRun; readonly stepMs: number[] }[] =
    [];
  try {
    for (const { name, args } of sides) {
      const run = await startPausedRun(args, join(folder, `run-${name}`), warmUp);
      started.push({ name, run, stepMs: [] });
    }
    for (let round = 0; round < rounds; round++) {
      for (const side of round % 2 === 0 ? started : started.toReversed())
        side.stepMs.push(median(await side.run.steps(steps)));
      const last = started.map(({ name, stepMs }) => `${name} ${stepMs.at(-1)?.toFixed(0)} ms`);
      tellProgress(`round ${round + 1} of ${rounds}: ${last.join(", ")}`);
    }
  } finally {
    for (const { run } of started) await run.close();
  }
  return started.map(({ stepMs }) => stepMs);
}
