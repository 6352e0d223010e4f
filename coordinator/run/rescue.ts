/**
 * Saving what can be saved when a run fails: a survivor is asked for the state of the last committed step. It is given a
 * ring of its own first, which makes it abandon the step that the others will never finish.
 */
import type { Member } from "../server/membership.ts";
import { announceCheckpoint } from "./boundary.ts";
import type { RunContext } from "./run-context.ts";

/** Time that a rescue may take in all, in milliseconds. */
const rescueMs = 120_000;

/**
 * Writes a checkpoint of the last committed step from any worker that is left.
 * @param firstStep step that the run started from: nothing is lost there
 * @returns folder of the newest checkpoint, or null when there is none
 */
export async function rescue(run: RunContext, firstStep: number): Promise<string | null> {
  const { checkpoints, progress, fleet, interrupts } = run;
  if (progress.step === firstStep) return checkpoints.last;
  if (checkpoints.has(progress.step)) return checkpoints.folderOf(progress.step);
  const signal = AbortSignal.any([interrupts.leave, AbortSignal.timeout(rescueMs)]);
  for (const member of fleet.present) {
    if (signal.aborted) break;
    const folder = await rescueFrom(run, member, signal).catch((error: unknown) => {
      run.view.say(`${member.workerId} could not give its state: ${wordsOf(error)}`);
      return null;
    });
    if (folder !== null) return folder;
  }
  return checkpoints.last;
}

async function rescueFrom(run: RunContext, member: Member, signal: AbortSignal): Promise<string> {
  const { fleet, progress, checkpoints, states, view } = run;
  const { step } = progress;
  view.doing(`saving the state of step ${step} from ${member.workerId}`);
  fleet.goOn();
  const reason = "the others are lost";
  await fleet.formRing([member], { committedStep: step, loadState: false, reason }, signal);
  const state = await states.take(fleet, { member, step, withOptimizer: true }, signal);
  const folder = await checkpoints.write(state);
  await announceCheckpoint(run, folder);
  return folder;
}

function wordsOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
