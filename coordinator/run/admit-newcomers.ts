/**
 * Takes workers that have joined and prepared into the ring, at the boundary between two steps: a worker of the ring gives its
 * state, and a ring of a newer generation is formed of all. The bits of what follows do not depend on it.
 */
import { create } from "@bufbuild/protobuf";
import { FinishSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { freeState } from "../server/state-stream.ts";
import { giversOf } from "./givers.ts";
import { checkWorkers } from "./check-workers.ts";
import { enterRing } from "./enter-ring.ts";
import type { RingEntry } from "./enter-ring.ts";
import type { ReadyWorker } from "./newcomers.ts";
import type { RunContext } from "./run-context.ts";
import { WorkerLost } from "./worker-lost.ts";

/** Admits whoever is ready; nobody is waited for. */
export async function admitNewcomers(run: RunContext, signal: AbortSignal): Promise<void> {
  const ready = run.fleet.newcomers.take();
  if (ready.length === 0) return;
  const welcome = ready.filter((worker) => isWelcome(run, worker));
  try {
    if (welcome.length > 0) await enlargeRing(run, welcome, signal);
  } finally {
    run.fleet.newcomers.settle();
  }
}

/** Sends a worker away that has other bits or another table; the run goes on without it. */
function isWelcome(run: RunContext, { member, prepared }: ReadyWorker): boolean {
  const { fleet, view, preparedOf } = run;
  try {
    preparedOf.set(member.workerId, prepared);
    checkWorkers(run, [...fleet.members, member], preparedOf);
    return true;
  } catch (error) {
    preparedOf.delete(member.workerId);
    const reason = error instanceof Error ? error.message : String(error);
    view.say(`${member.workerId} is not taken in: ${reason}`);
    fleet.send(member, { case: "finish", value: create(FinishSchema, { reason }) });
    return false;
  }
}

async function enlargeRing(
  run: RunContext,
  welcome: readonly ReadyWorker[],
  signal: AbortSignal,
): Promise<void> {
  await run.saving.settle(run, signal);
  const { fleet, progress, states, view, speedometer, settings } = run;
  const { step } = progress;
  const before = fleet.members;
  const names = welcome.map(({ member }) => member.workerId);
  const asked = { givers: giversOf(run), step, withOptimizer: true };
  const state = await states.take(fleet, asked, signal);
  const reason = `${names.join(" and ")} joined`;
  // Where moments are shared out, all get other shares.
  const loads = (ids: readonly string[]): Pick<RingEntry, "loading"> =>
    settings.zeroStage === 0 ? { loading: new Set(ids) } : {};
  try {
    const all = [...before, ...welcome.map(({ member }) => member)];
    await enterRing(run, all, { state, reason, ...loads(names) }, signal);
    view.say(`${reason}: ${all.length} workers from step ${step + 1} on`);
  } catch (error) {
    if (!(error instanceof WorkerLost) || !names.includes(error.workerId)) throw error;
    // Lost at the door: those that were there go on.
    const loss = `${error.workerId} was lost before it had entered`;
    view.say(`${loss}: ${error.reason}`);
    fleet.goOn();
    await enterRing(run, before, { state, reason: loss, ...loads([]) }, signal);
  } finally {
    freeState(state);
    speedometer.pause();
  }
}
