/** From prepared workers to a ring that trains, told wherever it is recorded and shown. */
import type { WorkerLine } from "../live/run-view.ts";
import { eventOf } from "../nats/cloud-event.ts";
import type { Member } from "../server/membership.ts";
import type { TrainingState } from "../server/state-stream.ts";
import { recordRing } from "./record-start.ts";
import type { RunContext } from "./run-context.ts";

/** What a ring begins with. */
export interface RingEntry {
  /** What those that load read. */
  readonly state: TrainingState;
  readonly reason: string;
  /** Ids of those that load the state, while the others have it; by default all load it. */
  readonly loading?: ReadonlySet<string>;
}

/** Has workers that are prepared load a state, and take their places. */
export async function enterRing(
  context: RunContext,
  members: readonly Member[],
  { state, reason, loading }: RingEntry,
  signal: AbortSignal,
): Promise<void> {
  const { fleet, view, progress, offer } = context;
  view.doing("forming the ring");
  const loads = loading ?? new Set(members.map(({ workerId }) => workerId));
  const form = { committedStep: progress.step, loading: loads, reason };
  offer.state = state;
  const ring = await fleet.formRing(members, form, signal).finally(() => {
    offer.state = null;
  });
  await recordRing(context, ring, fleet.newcomers.prepare?.threads || null);
  const ids = ring.members.map((member) => member.workerId);
  const generation = Number(ring.generation);
  context.telemetry.ringFormed({ generation, worldSize: ids.length });
  context.events.publish(
    eventOf({ case: "ringFormed", value: { generation: ring.generation, members: ids } }),
  );
  view.watch(() => workerLines(context));
}

function workerLines({ fleet, timings }: RunContext): readonly WorkerLine[] {
  return fleet.members.map(({ workerId }, rank) => ({
    rank,
    workerId,
    state: fleet.stateOf(workerId),
    timings: timings.get(workerId) ?? null,
  }));
}
