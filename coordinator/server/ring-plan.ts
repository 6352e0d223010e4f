/**
 * From members to a ring: who has which rank. Workers of one host stand side by side, so that all but two of its links
 * stay within the host. Pure; the same members always give the same ring.
 */
import type { Member } from "./membership.ts";
import { workerNumber } from "./membership.ts";

/** A ring as the coordinator means it. */
export interface RingPlan {
  /** Counts the rings of a run, from 1. */
  readonly generation: bigint;
  /** Members in rank order. */
  readonly members: readonly Member[];
  /** Why the ring is formed. */
  readonly reason: string;
}

/** Plans the ring of a generation: hosts by their lowest worker number, within a host by worker number. */
export function planRing(members: readonly Member[], generation: bigint, reason: string): RingPlan {
  const hostOrder = new Map<string, number>();
  for (const member of members) {
    const number = workerNumber(member.workerId);
    hostOrder.set(member.hostId, Math.min(number, hostOrder.get(member.hostId) ?? number));
  }
  const place = (member: Member): number => hostOrder.get(member.hostId) ?? 0;
  const ordered = members.toSorted(
    (left, right) =>
      place(left) - place(right) || workerNumber(left.workerId) - workerNumber(right.workerId),
  );
  return { generation, members: ordered, reason };
}
