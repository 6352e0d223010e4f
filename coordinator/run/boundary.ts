/**
 * Between two steps: commands act, a pause is waited out, an interrupt ends the run, evaluations happen and checkpoints begin.
 * Every rank has applied the same steps here.
 */
import { admitNewcomers } from "./admit-newcomers.ts";
import { eventOf } from "../nats/cloud-event.ts";
import type { BoundaryAction } from "./control.ts";
import type { RunContext } from "./run-context.ts";

/** Why the steps have ended. */
export interface LoopEnd {
  readonly kind: "completed" | "stopped" | "interrupted";
  /** One line for a person. */
  readonly reason: string;
}

const interrupted: LoopEnd = { kind: "interrupted", reason: "interrupted" };

/** Does what waits at the boundary before a step. Gives the end of the run if that is what waits, else null. */
export async function atBoundary(
  run: RunContext,
  step: number,
  signal: AbortSignal,
): Promise<LoopEnd | null> {
  const { control, interrupts, fleet, view } = run;
  for (;;) {
    run.saving.throwIfFailed();
    if (interrupts.finish.aborted) return interrupted;
    fleet.parting.throwIfAborted();
    await admitNewcomers(run, signal);
    const actions = control.takeBefore(step);
    for (const action of actions) {
      const end = await act(run, action, signal);
      if (end !== null) return end;
    }
    // Whatever was accepted meanwhile concerns this boundary too.
    if (actions.length > 0) continue;
    if (!control.paused) return null;
    view.doing(`paused before step ${step}`);
    run.speedometer.pause();
    const roused = rousing(run, signal);
    await fleet.while(control.waiting(roused), signal).catch((error: unknown) => {
      if (!roused.aborted || signal.aborted) throw error;
    });
  }
}

/** Aborted when a wait between two steps is to end: for the run, or because it is asked to end, or a worker leaves. */
function rousing({ interrupts, fleet }: RunContext, signal: AbortSignal): AbortSignal {
  return AbortSignal.any([signal, interrupts.finish, fleet.parting]);
}

/** After the last step: carries out what was accepted while it was under way. */
export async function settleCommands(
  run: RunContext,
  step: number,
  signal: AbortSignal,
): Promise<void> {
  for (;;) {
    const actions = run.control.takeBefore(step);
    if (actions.length === 0) return;
    for (const action of actions) await act(run, action, signal);
  }
}

async function act(
  run: RunContext,
  action: BoundaryAction,
  signal: AbortSignal,
): Promise<LoopEnd | null> {
  switch (action.kind) {
    case "checkpoint":
      await run.saving.begin(run, signal);
      return null;
    case "evaluate":
      await evaluateNow(run, { counts: false }, signal);
      return null;
    case "stop":
      return { kind: "stopped", reason: "stopped by command" };
  }
}

/** Evaluates the validation data, if there is any. @param how whether it counts for the best model */
export async function evaluateNow(
  run: RunContext,
  how: { readonly counts: boolean },
  signal: AbortSignal,
): Promise<void> {
  const { validation: dataset, fleet, view, progress, clock } = run;
  if (dataset === null) return;
  // Shares of a step that are abandoned half way could not be put together again, and an evaluation may be abandoned.
  if (run.settings.zeroStage === 1) await fleet.applied(progress.step, signal);
  const startedMs = clock.nowMs();
  const task = {
    split: "validation",
    dataset,
    onProgress: (done: number, of: number) => view.evaluating(done, of),
  };
  const until = rousing(run, signal);
  try {
    const result = await run.evaluator.evaluate(fleet, task, until);
    progress.evaluated(result, (clock.nowMs() - startedMs) / 1000, how.counts);
    await announceEvaluation(run, result);
  } catch (error) {
    if (!until.aborted || signal.aborted) throw error;
    await abandonWork(run, signal);
  } finally {
    run.speedometer.pause();
  }
}

/** A ring of the same members and a newer generation: whatever they were at is abandoned, nothing has changed. */
async function abandonWork(run: RunContext, signal: AbortSignal): Promise<void> {
  // Workers of a newer generation would not be heard of weights that were asked for in this one.
  await run.weights.settle(run, signal);
  const state = {
    committedStep: run.progress.step,
    reason: "the evaluation was interrupted",
  };
  await run.fleet.formRing(run.fleet.members, state, signal);
}

async function announceEvaluation(
  run: RunContext,
  result: { readonly metrics: Readonly<Record<string, number>>; readonly samples: number },
): Promise<void> {
  const { step, epoch } = run.progress;
  const { metrics, samples } = result;
  const split = "validation";
  await run.journal.append({ kind: "evaluation", step, split, metrics: { ...metrics }, samples });
  run.view.evaluated({ step, epoch, split, metrics });
  run.telemetry.evaluation({ split, metrics });
  run.events.publish(
    eventOf({
      case: "evaluationCompleted",
      value: { step: BigInt(step), epoch, split, metrics, samples: BigInt(samples) },
    }),
  );
}
