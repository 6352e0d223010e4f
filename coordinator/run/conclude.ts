/** The end of the steps: the final model, the last checkpoint, what is written about it. */
import { eventOf } from "../nats/cloud-event.ts";
import { settleCommands } from "./boundary.ts";
import type { LoopEnd } from "./boundary.ts";
import type { RunContext } from "./run-context.ts";
import { checkpointNow } from "./saving.ts";

/** Writes what a run leaves behind. Gives whether there is a final model in the output folder. */
export async function conclude(
  run: RunContext,
  end: LoopEnd,
  signal: AbortSignal,
): Promise<boolean> {
  const { progress, control, clock, checkpoints } = run;
  if (end.kind !== "interrupted") await settleCommands(run, progress.step + 1, signal);
  control.end();
  if (end.kind !== "completed" && progress.step > 0) await checkpointNow(run, signal);
  else await run.saving.settle(run, signal);
  if (end.kind === "interrupted") return false;
  progress.finished(clock.nowMs());
  run.view.doing("writing the model");
  await checkpoints.writeModel(await finalWeights(run, signal));
  return true;
}

/** The best checkpoint's weights when they are asked for and there are any, else the last step's. */
async function finalWeights(run: RunContext, signal: AbortSignal): Promise<Float32Array> {
  const { settings, progress, checkpoints, fleet, view, states } = run;
  const best = settings.loadBestModelAtEnd ? await checkpoints.bestOnDisk() : null;
  if (best !== null) {
    view.say(
      `the model is that of the best evaluation, after step ${progress.standing.best?.step}`,
    );
    return checkpoints.weightsOf(best);
  }
  if (settings.loadBestModelAtEnd && progress.standing.best !== null) {
    const missing = `there is no checkpoint of the best evaluation, after step ${progress.standing.best.step}`;
    view.say(`${missing}: the model is that of the last step`);
  }
  const { step } = progress;
  if (checkpoints.has(step)) return checkpoints.weightsOf(checkpoints.folderOf(step));
  const member = fleet.members[0];
  if (member === undefined) throw new Error("Cannot write the model as the ring is empty");
  const state = await states.take(fleet, { givers: [member], step, withOptimizer: false }, signal);
  return state.parameters;
}

/** Records the end of a run wherever it is recorded. */
export async function recordEnd(run: RunContext, outcome: string, reason: string): Promise<void> {
  const { step } = run.progress;
  run.control.end();
  await run.checkpoints.writeTrainerState();
  await run.journal.append({ kind: "end", step, outcome, reason });
  run.events.publish(eventOf({ case: "runEnded", value: { outcome, reason, step: BigInt(step) } }));
}
