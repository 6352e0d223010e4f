/**
 * Saving what can be saved when a run fails: a survivor is asked for the state of the last committed step. It is given a
 * ring of its own first, which makes it abandon the step that the others will never finish. Where moments are shared out all have
 * to be left.
 */
import type { Member } from "../server/membership.ts";
import type { RunContext } from "./run-context.ts";
import { announceCheckpoint } from "./saving.ts";

/**
 * Writes a checkpoint of the last committed step from any worker that is left.
 * @param firstStep step that the run started from: nothing is lost there
 * @param signal ends the attempts
 * @returns folder of the newest checkpoint, or null when there is none
 */
export async function rescue(
  run: RunContext,
  firstStep: number,
  signal: AbortSignal,
): Promise<string | null> {
  const { checkpoints, progress } = run;
  if (progress.step === firstStep) return checkpoints.last;
  if (checkpoints.has(progress.step)) return checkpoints.folderOf(progress.step);
  for (const givers of giversLeft(run)) {
    if (signal.aborted) break;
    const folder = await rescueFrom(run, givers, signal).catch((error: unknown) => {
      const names = givers.map(({ workerId }) => workerId).join(", ");
      run.view.say(`${names} could not give the state: ${wordsOf(error)}`);
      return null;
    });
    if (folder !== null) return folder;
  }
  return checkpoints.last;
}

/** Who could give the state: one of those that are left, or where moments are shared out all of the ring, if none is lost. */
function giversLeft({ fleet, settings }: RunContext): readonly (readonly Member[])[] {
  const { members, present } = fleet;
  if (settings.zeroStage === 0) return present.map((member) => [member]);
  const isPresent = ({ workerId }: Member): boolean =>
    present.some((one) => one.workerId === workerId);
  return members.length > 0 && members.every(isPresent) ? [members] : [];
}

async function rescueFrom(
  run: RunContext,
  givers: readonly Member[],
  signal: AbortSignal,
): Promise<string> {
  const { fleet, progress, checkpoints, states, view, settings } = run;
  const { step } = progress;
  view.doing(`saving the state of step ${step}`);
  fleet.goOn();
  if (settings.zeroStage === 1) await fleet.applied(step, signal);
  const reason = "to save the state";
  await fleet.formRing(givers, { committedStep: step, reason }, signal);
  const state = await states.take(fleet, { givers, step, withOptimizer: true }, signal);
  const folder = await checkpoints.write(state, checkpoints.draft(), signal);
  await announceCheckpoint(run, step, folder);
  return folder;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
