/**
 * Going on without a worker whose share of the optimiser's state is gone with it (`--zero-stage 1`): those that are left load the
 * last checkpoint, or the start, and compute the same steps again. What they come to has the same bits.
 */
import { relative } from "node:path";
import { readResumePoint, readState } from "../checkpoint/checkpoint-folder.ts";
import type { Member } from "../server/membership.ts";
import { enterRing } from "./enter-ring.ts";
import { recordStretch } from "./record-start.ts";
import type { RunContext } from "./run-context.ts";
import type { StartedRun } from "./start-run.ts";
import { WorkerLost } from "./worker-lost.ts";

/** Members of the ring that attend still. */
function survivors({ members, present }: RunContext["fleet"]): readonly Member[] {
  return members.filter(({ workerId }) => present.some((one) => one.workerId === workerId));
}

/** Whether a failure is one that the run goes on after. One that leaves by itself, or alone, ends the run as ever. */
export function goesOnAfter(run: RunContext, error: unknown): error is WorkerLost {
  const { settings, interrupts, fleet } = run;
  if (settings.zeroStage === 0 || interrupts.finish.aborted) return false;
  const isLoss = error instanceof WorkerLost && error.manner === "lost" && error.rank !== null;
  return isLoss && survivors(fleet).length > 0;
}

/**
 * Takes the run back to its last checkpoint with the workers that are left. Throws as `trainSteps` does, WorkerLost for a
 * further one among others.
 */
export async function goBack(
  started: StartedRun,
  error: WorkerLost,
  signal: AbortSignal,
): Promise<void> {
  const { context: run } = started;
  const { fleet, progress, checkpoints, control, settings, table, view } = run;
  await run.saving.settleAfterFailure(run, signal);
  const left = survivors(fleet);
  // Others may have been lost since.
  if (left.length === 0) throw error;
  const folder = checkpoints.last;
  const resumed = folder === null ? null : await readResumePoint(folder);
  const start = { step: 0, parameters: run.model.state, moments: null };
  const state = folder === null ? start : await readState(folder, table, resumed?.step ?? 0);
  const where = folder === null ? "the start" : relative(settings.outputDir, folder) || folder;
  const workers = `${left.length} ${left.length === 1 ? "worker" : "workers"}`;
  view.say(
    `${error.message}; its share of the optimiser's state is gone with it: back from step ${progress.step} to ${where}, on with ${workers}`,
  );
  for (let step = resumed?.step ?? 0; step < progress.step; step++) run.telemetry.stepRedone();
  progress.goBack(resumed);
  run.weights.forget();
  run.timings.clear();
  run.speedometer.pause();
  await recordStretch(run, left.length, control.goBack(progress.step));
  fleet.goOn();
  await enterRing(run, left, { state, reason: `${error.workerId} is lost` }, signal);
}
