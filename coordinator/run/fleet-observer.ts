/** What the rest of a run hears of its workers: joins and losses for events and the live view, profiles for their files. */
import type { StepProfiled, WeightsHashed } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { eventOf } from "../nats/cloud-event.ts";
import type { Member } from "../server/membership.ts";
import type { RunContext } from "./run-context.ts";
import type { Services } from "./start-services.ts";

/** Told as it happens; must neither wait nor throw. */
export interface FleetObserver {
  readonly onJoined: (member: Member) => void;
  readonly onLeft: (member: Member, reason: string) => void;
  /** A worker tells where the time of a step went: whenever it gets round to it. */
  readonly onProfiled: (member: Member, rank: number, report: StepProfiled) => void;
  /** A worker tells the hashes of its weights, beside the next step. */
  readonly onHashed: (member: Member, report: WeightsHashed) => void;
}

/** Tells of a training run's workers wherever that is heard. */
export function observerOf(
  { telemetry, events }: Services,
  {
    progress,
    profiler,
    states,
    weights,
  }: Pick<RunContext, "progress" | "profiler" | "states" | "weights">,
): FleetObserver {
  return {
    onProfiled: ({ workerId }, rank, report) => profiler.take(rank, workerId, report),
    onHashed: ({ workerId }, report) => weights.take(workerId, report),
    onJoined: ({ workerId, incarnation, ringAddress }) => {
      telemetry.workerJoined(workerId, Number(incarnation));
      events.publish(
        eventOf({ case: "workerJoined", value: { workerId, incarnation, ringAddress } }),
      );
    },
    onLeft: ({ workerId }, reason) => {
      states.gone(workerId, reason);
      weights.gone(workerId, reason);
      telemetry.workerLeft(workerId);
      const step = BigInt(progress.step);
      events.publish(eventOf({ case: "workerLeft", value: { workerId, reason, step } }));
    },
  };
}
