/** What the members of a ring are told of it. Pure. */
import { create } from "@bufbuild/protobuf";
import { FormRingSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { FormRing } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Member } from "../server/membership.ts";
import type { RingPlan } from "../server/ring-plan.ts";

/** What a ring begins with. */
export interface RingStart {
  readonly committedStep: number;
  /** Ids of those that read the state before they enter; default none. */
  readonly loading?: ReadonlySet<string>;
  readonly reason: string;
}

/** A member, and its directive. */
export type RingMessage = readonly [Member, FormRing];

function placeOf({ workerId, incarnation, ringAddress, hostId }: Member) {
  return { workerId, incarnation, ringAddress, hostId };
}

/** For each member its rank among all. @param loading ids of those that read the state before they enter */
export function ringMessages(
  { generation, members }: RingPlan,
  committedStep: number,
  loading: ReadonlySet<string>,
): readonly RingMessage[] {
  const places = members.map(placeOf);
  const step = BigInt(committedStep);
  return members.map((member, rank): RingMessage => {
    const loadState = loading.has(member.workerId);
    const form = { generation, rank, members: places, committedStep: step, loadState };
    return [member, create(FormRingSchema, form)];
  });
}

/** For each member a ring of its own, at the start, with the state to be read. */
export function singleMessages({ generation, members }: RingPlan): readonly RingMessage[] {
  return members.map((member): RingMessage => {
    const form = { generation, rank: 0, members: [placeOf(member)], loadState: true };
    return [member, create(FormRingSchema, form)];
  });
}
