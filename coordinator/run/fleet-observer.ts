/** What the rest of a run hears of its workers: joins and losses for events and the live view, profiles for their files. */
import type { StepProfiled } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Member } from "../server/membership.ts";

/** Told as it happens; must neither wait nor throw. */
export interface FleetObserver {
  readonly onJoined: (member: Member) => void;
  readonly onLeft: (member: Member, reason: string) => void;
  /** A worker tells where the time of a step went: whenever it gets round to it. */
  readonly onProfiled: (member: Member, rank: number, report: StepProfiled) => void;
}
