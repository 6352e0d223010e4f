/**
 * A real run that goes on for a few steps whenever it is asked to and is paused between: measurements of both sides can
 * then take turns without a start each.
 */
import { rmSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { z } from "zod";
import { readControlAddress } from "../../../coordinator/nats/control-address.ts";
import { sendControl } from "../../../coordinator/nats/control-client.ts";
import { eventsOf, startCoordinator, type CoordinatorRun } from "./coordinator.ts";

/** A paused run. */
export interface PausedRun {
  /** Lets it go on for about this many steps; gives their times in milliseconds, the first after the pause left out. */
  steps(count: number): Promise<readonly number[]>;
  /** Ends it and all its processes. */
  close(): Promise<void>;
}

const pollMs = 100;
const stepSchema = z.object({ stepMs: z.number() });

async function waitFor(run: CoordinatorRun, isThere: () => boolean): Promise<void> {
  while (!isThere()) {
    if (run.child.exitCode !== null || run.child.signalCode !== null) {
      throw new Error(`the run ended before it was measured:\n${run.text()}`);
    }
    await sleep(pollMs);
  }
}

/** Times of the steps that followed another step at once. */
function stepTimes(folder: string): readonly number[] {
  return eventsOf(folder, "StepCommitted", stepSchema).map(({ data }) => data.stepMs);
}

/** Starts a run into an output folder, of which nothing earlier is kept, lets it warm up for some steps, and pauses it. */
export async function startPausedRun(
  args: readonly string[],
  outputFolder: string,
  warmUpSteps: number,
): Promise<PausedRun> {
  const endless = ["--max-steps", "1000000", "--eval-strategy", "no", "--save-strategy", "no"];
  // Steps of an earlier run there would count as this one's until it has begun, and make its warm-up as much longer.
  rmSync(outputFolder, { recursive: true, force: true });
  const run = startCoordinator([...args, ...endless, "--output-dir", outputFolder]);
  const control = async (verb: "pause" | "resume"): Promise<void> => {
    const answer = await sendControl({ ...(await readControlAddress(outputFolder)), verb });
    if (!answer.accepted) throw new Error(`the run refused ${verb}: ${answer.reason}`);
  };
  const goOn = async (count: number): Promise<readonly number[]> => {
    const before = stepTimes(outputFolder).length;
    await waitFor(run, () => stepTimes(outputFolder).length >= before + count);
    const pauses = pauseCount(run);
    await control("pause");
    await waitFor(run, () => pauseCount(run) > pauses);
    return stepTimes(outputFolder)
      .slice(before)
      .filter((ms) => ms > 0);
  };
  const close = async (): Promise<void> => {
    // Twice means now; two signals at once would be one.
    run.child.kill("SIGINT");
    await sleep(pollMs);
    run.child.kill("SIGINT");
    const late = setTimeout(() => run.child.kill("SIGKILL"), 10_000);
    await run.ended;
    clearTimeout(late);
  };
  try {
    await goOn(warmUpSteps);
  } catch (error) {
    await close();
    throw error;
  }
  return {
    async steps(count) {
      await control("resume");
      // The first one after a pause has no step before it to be timed from.
      return await goOn(count + 1);
    },
    close,
  };
}

/** How often the run has said that it is paused. */
function pauseCount(run: CoordinatorRun): number {
  return run.text().split("paused before step").length - 1;
}
