/**
 * The workers of a run as the coordinator holds them: who has joined (membership), by which credential each is known,
 * the stream on which each attends, and when each was last heard. What happens to them comes out of one queue, which the
 * run reads; what it wants of them goes in by `send`.
 */
import { randomBytes } from "node:crypto";
import type { Metadata, ServerDuplexStream } from "@grpc/grpc-js";
import { status } from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { equalBytes, metadataNames, verifyProof } from "../../proto/auth.ts";
import { AttendResponseSchema, JoinResponseSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type {
  AttendRequest,
  AttendResponse,
  JoinRequest,
  JoinResponse,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import {
  directiveQueueMax,
  keepaliveTimeoutMs,
  leaseMs,
  nonceBytes,
  reportTextMax,
} from "../../proto/limits.ts";
import { BoundedQueue } from "./bounded-queue.ts";
import { CallError, signalOf } from "./call-stream.ts";
import { candidateOf } from "./candidate.ts";
import { admit, dismiss, emptyMembership, expired, heard } from "./membership.ts";
import type { Candidate, Member, Membership } from "./membership.ts";
import { NonceBook } from "./nonce-book.ts";

/** One thing that happened to a worker, in the order in which it happened. */
export type FleetEvent =
  | { readonly kind: "joined"; readonly member: Member }
  | {
      readonly kind: "report";
      readonly member: Member;
      readonly generation: bigint;
      readonly report: AttendRequest["report"];
    }
  | { readonly kind: "left"; readonly member: Member; readonly reason: string }
  /** Serving a worker failed on our side (unreadable data, a full disk). */
  | { readonly kind: "fault"; readonly member: Member; readonly error: unknown };

/** What a worker's last heartbeat said. */
export interface WorkerStatus {
  /** `preparing`, `compute`, `exchange`, … */
  readonly state: string;
  readonly residentBytes: number;
}

/** What a directive says. */
export type Directive = AttendResponse["directive"];

type AttendCall = ServerDuplexStream<AttendRequest, AttendResponse>;

interface Seat {
  readonly credential: string;
  call: AttendCall | null;
  /** Directives written and not yet taken by the stream. */
  waiting: number;
  status: WorkerStatus;
}

/** How a roster is set up. */
export interface RosterOptions {
  readonly run: string;
  /** Secret that joiners prove knowledge of. */
  readonly joinToken: string;
  /** Workers that the run has places for. */
  readonly seats: number;
  /** Worker numbers below this belong to workers that a launcher starts; default 0. */
  readonly reserved?: number;
  /** URL of NATS that joiners are told; empty for none. */
  readonly natsUrl: string;
  /** Milliseconds of a clock that only goes forward. */
  readonly nowMs: () => number;
  /** The id that a launcher gave this process, or null. */
  readonly idOf: (candidate: Candidate) => string | null;
}

const eventQueueMax = 4096;

/** Holds the workers of one run. */
export class Roster {
  /** What happened, oldest first. */
  readonly events = new BoundedQueue<FleetEvent>(eventQueueMax);
  readonly #options: RosterOptions;
  readonly #nonces = new NonceBook();
  readonly #ringKey = randomBytes(nonceBytes);
  readonly #seats = new Map<string, Seat>();
  #membership: Membership = emptyMembership;

  constructor(options: RosterOptions) {
    this.#options = options;
  }

  /** A fresh nonce for one Join. */
  challenge(run: string): Uint8Array {
    if (run !== "" && run !== this.#options.run) {
      throw new CallError(status.NOT_FOUND, `this coordinator leads run ${this.#options.run}`);
    }
    const nonce = randomBytes(nonceBytes);
    this.#nonces.issue(nonce, this.#options.nowMs());
    return nonce;
  }

  /** Checks the proof and seats the worker. Throws UNAUTHENTICATED, INVALID_ARGUMENT or RESOURCE_EXHAUSTED. */
  join(request: JoinRequest): JoinResponse {
    const nowMs = this.#options.nowMs();
    const isFresh = this.#nonces.redeem(request.nonce, nowMs);
    const isProved = verifyProof(this.#options.joinToken, request, request.proof);
    if (!isFresh || !isProved) {
      const reason = isFresh ? "the join token is wrong" : "the challenge is unknown or too old";
      throw new CallError(status.UNAUTHENTICATED, reason);
    }
    const candidate = candidateOf(request);
    const wantedId = this.#options.idOf(candidate);
    const admission = admit(this.#membership, candidate, {
      seats: this.#options.seats,
      reserved: this.#options.reserved ?? 0,
      wantedId,
      nowMs,
    });
    if (admission.kind === "refused") {
      throw new CallError(status.RESOURCE_EXHAUSTED, admission.reason);
    }
    this.#membership = admission.membership;
    const { workerId, incarnation } = admission.member;
    const credential = randomBytes(nonceBytes).toString("hex");
    const idle = { state: "joining", residentBytes: 0 };
    this.#seats.set(workerId, { credential, call: null, waiting: 0, status: idle });
    return create(JoinResponseSchema, {
      workerId,
      incarnation,
      credential,
      ringKey: this.#ringKey,
      leaseMs,
      natsUrl: this.#options.natsUrl,
    });
  }

  /** The member whose valid credential a call carries. Throws UNAUTHENTICATED. */
  identify(metadata: Metadata): Member {
    const text = (name: string): string => String(metadata.get(name)[0] ?? "");
    const workerId = text(metadataNames.worker);
    const member = this.#membership.members.get(workerId);
    const seat = this.#seats.get(workerId);
    const credential = Buffer.from(text(metadataNames.credential));
    const isKnown =
      member !== undefined &&
      seat !== undefined &&
      equalBytes(Buffer.from(seat.credential), credential) &&
      text(metadataNames.incarnation) === String(member.incarnation);
    if (!isKnown) throw new CallError(status.UNAUTHENTICATED, "no valid credential");
    return member;
  }

  /** Reads a member's reports until its stream ends, which is the end of its membership. */
  async attend(member: Member, call: AttendCall): Promise<void> {
    const seat = this.#seats.get(member.workerId);
    if (seat === undefined || seat.call !== null) {
      throw new CallError(status.ALREADY_EXISTS, `${member.workerId} attends already`);
    }
    seat.call = call;
    this.events.force({ kind: "joined", member });
    let reason = "it closed its connection";
    try {
      const signal = signalOf(call);
      // Left intact at its end: a destroyed stream could not tell the worker that it is over.
      const messages = call.iterator({ destroyOnReturn: false });
      for await (const message of messages as AsyncIterable<AttendRequest>) {
        await this.#hear(member, seat, message, signal);
      }
      if (signal.aborted) reason = this.#breakOf(member);
    } catch {
      reason = this.#breakOf(member);
    } finally {
      this.#remove(member, reason);
    }
  }

  /** Sends a directive. One to a member that has left goes nowhere: its `left` event tells. */
  send(workerId: string, directive: Directive): void {
    const seat = this.#seats.get(workerId);
    const call = seat?.call;
    const member = this.#membership.members.get(workerId);
    if (seat === undefined || call === null || call === undefined || member === undefined) return;
    if (seat.waiting >= directiveQueueMax) {
      this.#remove(member, `it did not read ${directiveQueueMax} directives`);
      return;
    }
    seat.waiting++;
    const message = create(AttendResponseSchema, { run: this.#options.run, directive });
    call.write(message, () => {
      seat.waiting--;
    });
  }

  /** Ends the membership of every member that was not heard for a lease. */
  checkLeases(): void {
    for (const departure of expired(this.#membership, this.#options.nowMs(), leaseMs)) {
      this.#remove(departure.member, departure.reason);
    }
  }

  /** Tells the run that serving a member failed on our side. */
  fault(member: Member, error: unknown): void {
    this.events.force({ kind: "fault", member, error });
  }

  /** Members that attend now. */
  members(): readonly Member[] {
    return [...this.#membership.members.values()].filter(
      (member) => this.#seats.get(member.workerId)?.call,
    );
  }

  /** What a member last said that it was doing. */
  statusOf(workerId: string): WorkerStatus | null {
    return this.#seats.get(workerId)?.status ?? null;
  }

  async #hear(
    member: Member,
    seat: Seat,
    message: AttendRequest,
    signal: AbortSignal,
  ): Promise<void> {
    this.#membership = heard(this.#membership, member.workerId, this.#options.nowMs());
    const { report, generation } = message;
    if (report.case === "heartbeat") {
      const state = report.value.state.slice(0, reportTextMax);
      seat.status = { state, residentBytes: Number(report.value.residentBytes) };
      return;
    }
    await this.events.put({ kind: "report", member, generation, report }, signal);
    this.#membership = heard(this.#membership, member.workerId, this.#options.nowMs());
  }

  /** Why a connection broke: a process that hangs answers no pings either, and loses it before its lease. */
  #breakOf({ workerId }: Member): string {
    const lastHeardMs = this.#membership.members.get(workerId)?.lastHeardMs ?? 0;
    const silentMs = this.#options.nowMs() - lastHeardMs;
    if (silentMs < keepaliveTimeoutMs) return "its connection broke";
    return `nothing heard for ${(silentMs / 1000).toFixed(1)} s, its connection is dead`;
  }

  #remove(member: Member, reason: string): void {
    const current = this.#membership.members.get(member.workerId);
    if (current?.incarnation !== member.incarnation) return;
    const seat = this.#seats.get(member.workerId);
    this.#membership = dismiss(this.#membership, member.workerId);
    this.#seats.delete(member.workerId);
    seat?.call?.end();
    this.events.force({ kind: "left", member, reason });
  }
}
