/**
 * Who is in the run: pure decisions over joins, signs of life and the clock. Every decision returns its reason.
 */
import { workersMax } from "../../proto/limits.ts";

/** What a worker says of itself when it joins. */
export interface Candidate {
  /** host:port of its ring service. */
  readonly ringAddress: string;
  readonly hostId: string;
  readonly processId: number;
  /** host:port of its metrics page; empty when it has none. */
  readonly metricsAddress: string;
  /** CPU model, features, TensorFlow's version. */
  readonly environment: Readonly<Record<string, string>>;
}

/** A worker that has joined. */
export interface Member extends Candidate {
  /** `worker-0`, `worker-1`, … */
  readonly workerId: string;
  /** Counts the joins under this id, from 1. */
  readonly incarnation: bigint;
  /** When it was last heard, in milliseconds of the coordinator's clock. */
  readonly lastHeardMs: number;
}

/** The members by id, and how often each id has joined. */
export interface Membership {
  readonly members: ReadonlyMap<string, Member>;
  readonly incarnations: ReadonlyMap<string, bigint>;
}

/** A member that the run goes on without, and why. */
export interface Departure {
  readonly member: Member;
  readonly reason: string;
}

/** A run that nobody has joined. */
export const emptyMembership: Membership = { members: new Map(), incarnations: new Map() };

/** Outcome of a join. */
export type Admission =
  | { readonly kind: "admitted"; readonly membership: Membership; readonly member: Member }
  | { readonly kind: "refused"; readonly reason: string };

/**
 * Decides on a join whose proof has been checked.
 * @param seats workers that the run has places for
 * @param reserved worker numbers below this are given by `wantedId` only; default 0
 * @param wantedId the id that the launcher gave this process, or null for the first free one
 */
export function admit(
  membership: Membership,
  candidate: Candidate,
  places: {
    readonly seats: number;
    readonly reserved?: number;
    readonly wantedId: string | null;
    readonly nowMs: number;
  },
): Admission {
  const seats = Math.min(places.seats, workersMax);
  if (membership.members.size >= seats) {
    return { kind: "refused", reason: `the run has all of its ${seats} workers` };
  }
  const workerId = places.wantedId ?? firstFreeId(membership, seats, places.reserved ?? 0);
  if (workerId === null) {
    return { kind: "refused", reason: "the run waits for workers that it has started itself" };
  }
  if (membership.members.has(workerId)) {
    return { kind: "refused", reason: `${workerId} has joined already` };
  }
  const incarnation = (membership.incarnations.get(workerId) ?? 0n) + 1n;
  const member = { ...candidate, workerId, incarnation, lastHeardMs: places.nowMs };
  return {
    kind: "admitted",
    member,
    membership: {
      members: new Map(membership.members).set(workerId, member),
      incarnations: new Map(membership.incarnations).set(workerId, incarnation),
    },
  };
}

/** Notes a sign of life of a member; one of a stranger changes nothing. */
export function heard(membership: Membership, workerId: string, nowMs: number): Membership {
  const member = membership.members.get(workerId);
  if (member === undefined) return membership;
  const members = new Map(membership.members).set(workerId, { ...member, lastHeardMs: nowMs });
  return { ...membership, members };
}

/** Takes a member out; its id may join again, with a higher incarnation. */
export function dismiss(membership: Membership, workerId: string): Membership {
  const members = new Map(membership.members);
  members.delete(workerId);
  return { ...membership, members };
}

/** The members whose lease has ended, each with its reason. */
export function expired(
  membership: Membership,
  nowMs: number,
  leaseMs: number,
): readonly Departure[] {
  return [...membership.members.values()]
    .filter((member) => nowMs - member.lastHeardMs > leaseMs)
    .map((member) => ({
      member,
      reason: `nothing heard for ${((nowMs - member.lastHeardMs) / 1000).toFixed(1)} s, the lease is ${leaseMs / 1000} s`,
    }));
}

/** Number of a worker id: 2 for `worker-2`; ids that are no such name come last. */
export function workerNumber(workerId: string): number {
  const digits = /^worker-(\d{1,6})$/u.exec(workerId)?.[1];
  return digits === undefined ? Number.MAX_SAFE_INTEGER : Number(digits);
}

function firstFreeId(membership: Membership, seats: number, reserved: number): string | null {
  for (let number = reserved; number < seats; number++) {
    const id = `worker-${number}`;
    if (!membership.members.has(id)) return id;
  }
  return null;
}
