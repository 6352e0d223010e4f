/**
 * The workers as the run sees them: a ring of ranks that are told things and report. It waits for reports, turns a lost
 * worker or a failure into an error, and drops what an older generation still says.
 */
import { create } from "@bufbuild/protobuf";
import { FormRingSchema, FinishSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { AttendRequest, Prepare, Prepared } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { FleetObserver } from "./fleet-observer.ts";
import { failureOf, WorkerLost } from "./worker-lost.ts";
import { planRing } from "../server/ring-plan.ts";
import type { RingPlan } from "../server/ring-plan.ts";
import type { Member } from "../server/membership.ts";
import type { Directive, Roster } from "../server/roster.ts";

/** What a worker reported. */
export type Report = AttendRequest["report"];

/** A report with the rank that it came from; −1 before the first ring. */
export interface RankedReport {
  readonly member: Member;
  readonly rank: number;
  readonly report: Report;
}

/** The workers of one run. */
export class Fleet {
  readonly #roster: Roster;
  readonly #observer: FleetObserver;
  #ring: RingPlan | null = null;
  #generation = 0n;
  #failure: { readonly error: unknown } | null = null;
  readonly #parting = new AbortController();

  constructor(roster: Roster, observer: FleetObserver) {
    this.#roster = roster;
    this.#observer = observer;
  }

  /** The ring; null before the first one. */
  get ring(): RingPlan | null {
    return this.#ring;
  }

  /** Generation of the ring; 0 before the first one. */
  get generation(): bigint {
    return this.#generation;
  }

  /** Members that attend still. */
  get present(): readonly Member[] {
    return this.#roster.members();
  }

  /** Members in rank order, or in the order of joining before the first ring. */
  get members(): readonly Member[] {
    return this.#ring?.members ?? this.#roster.members();
  }

  /** Workers in the ring. */
  get worldSize(): number {
    return this.#ring?.members.length ?? 0;
  }

  /** Aborted with a WorkerLost once a worker of the ring has said that it is told to leave; it works on until Finish. */
  get parting(): AbortSignal {
    return this.#parting.signal;
  }

  /** Rank of a member in the ring; −1 when it has none. */
  rankOf(workerId: string): number {
    return this.#ring?.members.findIndex((member) => member.workerId === workerId) ?? -1;
  }

  /** What a worker last said that it was doing. */
  stateOf(workerId: string): string {
    return this.#roster.statusOf(workerId)?.state ?? "gone";
  }

  /** Waits until this many workers have joined. */
  async gather(count: number, signal: AbortSignal): Promise<void> {
    while (this.#roster.members().length < count) await this.#watched(signal);
  }

  /** Has every worker compile the job; gives what each said, by worker id. */
  async prepare(prepare: Prepare, signal: AbortSignal): Promise<ReadonlyMap<string, Prepared>> {
    const members = this.#roster.members();
    for (const member of members) {
      this.#roster.send(member.workerId, { case: "prepare", value: prepare });
    }
    const prepared = new Map<string, Prepared>();
    while (prepared.size < members.length) {
      const { member, report } = await this.next(signal);
      if (report.case === "prepared") prepared.set(member.workerId, report.value);
    }
    return prepared;
  }

  /** Forms a ring of these members and waits until every one is in it. Work that they had is abandoned. */
  async formRing(
    members: readonly Member[],
    state: { readonly committedStep: number; readonly loadState: boolean; readonly reason: string },
    signal: AbortSignal,
  ): Promise<RingPlan> {
    const ring = this.#nextRing(members, state.reason);
    const places = ring.members.map(({ workerId, incarnation, ringAddress, hostId }) => ({
      workerId,
      incarnation,
      ringAddress,
      hostId,
    }));
    for (const [rank, member] of ring.members.entries()) {
      this.#sendFormRing(member, { generation: ring.generation, rank, members: places }, state);
    }
    await this.#ready(ring, signal);
    return ring;
  }

  /** Gives every member a ring of its own, for predictions, which exchange nothing. */
  async formSingles(members: readonly Member[], signal: AbortSignal): Promise<void> {
    const ring = this.#nextRing(members, "predicting, each for itself");
    const state = { committedStep: 0, loadState: true };
    for (const member of ring.members) {
      const { workerId, incarnation, ringAddress, hostId } = member;
      const alone = [{ workerId, incarnation, ringAddress, hostId }];
      this.#sendFormRing(member, { generation: ring.generation, rank: 0, members: alone }, state);
    }
    await this.#ready(ring, signal);
  }

  /** Tells every member of the ring. */
  broadcast(directive: Directive): void {
    for (const member of this.members) this.#roster.send(member.workerId, directive);
  }

  /** Tells one member. */
  send(member: Member, directive: Directive): void {
    this.#roster.send(member.workerId, directive);
  }

  /** Tells every worker that has joined to leave. */
  finish(reason: string): void {
    const value = create(FinishSchema, { reason });
    for (const member of this.#roster.members()) {
      this.#roster.send(member.workerId, { case: "finish", value });
    }
  }

  /** Waits until no worker attends any more. */
  async dissolve(signal: AbortSignal): Promise<void> {
    while (this.#roster.members().length > 0) {
      const event = await this.#roster.events.take(signal);
      if (event.kind === "left") this.#observer.onLeft(event.member, "the run is over");
      if (event.kind === "report") this.#noteProfile(event.member, event.report);
    }
  }

  /** Waits for one answer per rank. @param take the answer in a report, or undefined when it holds none */
  async collect<Answer>(
    take: (report: Report, from: RankedReport) => Answer | undefined,
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, Answer>> {
    const answers = new Map<number, Answer>();
    while (answers.size < this.worldSize) {
      const ranked = await this.next(signal);
      const answer = take(ranked.report, ranked);
      if (answer !== undefined) answers.set(ranked.rank, answer);
    }
    return answers;
  }

  /**
   * The next report of the present generation. Throws WorkerLost, BadInput, or what failed while serving a worker, and
   * goes on throwing it until `goOn`.
   */
  async next(signal: AbortSignal): Promise<RankedReport> {
    if (this.#failure !== null) throw this.#failure.error;
    for (;;) {
      const ranked = await this.#watched(signal);
      if (ranked !== null) return ranked;
    }
  }

  /** Waits for something else, while a lost worker still shows. */
  async while<Value>(something: Promise<Value>, signal: AbortSignal): Promise<Value> {
    const over = new AbortController();
    const watch = async (): Promise<never> => {
      for (;;) await this.next(AbortSignal.any([signal, over.signal]));
    };
    const watching = watch();
    watching.catch(() => undefined);
    try {
      return await Promise.race([something, watching]);
    } finally {
      over.abort(new Error("The wait is over"));
    }
  }

  /** Lets a failure be: what is left of the fleet is to be used all the same. */
  goOn(): void {
    this.#failure = null;
  }

  async #watched(signal: AbortSignal): Promise<RankedReport | null> {
    try {
      return await this.#takeEvent(signal);
    } catch (error) {
      if (!signal.aborted || error instanceof WorkerLost) this.#failure = { error };
      throw error;
    }
  }

  async #takeEvent(signal: AbortSignal): Promise<RankedReport | null> {
    const event = await this.#roster.events.take(signal);
    switch (event.kind) {
      case "joined":
        this.#observer.onJoined(event.member);
        return null;
      case "left":
        this.#observer.onLeft(event.member, event.reason);
        throw new WorkerLost(event.member.workerId, {
          rank: this.#rankOrNull(event.member),
          reason: event.reason,
        });
      case "fault":
        throw event.error;
      case "report": {
        const { member, report, generation } = event;
        if (report.case === "failed")
          throw failureOf(member.workerId, this.#rankOrNull(member), report.value);
        if (report.case === "leaving") return this.#noteParting(member, report.value.reason);
        if (generation !== this.#generation || this.#noteProfile(member, report)) return null;
        return { member, report, rank: this.rankOf(member.workerId) };
      }
    }
  }

  #noteProfile(member: Member, report: Report): boolean {
    if (report.case !== "stepProfiled") return false;
    this.#observer.onProfiled(member, this.rankOf(member.workerId), report.value);
    return true;
  }

  /** Before the first ring there is no step to be finished: the worker counts as lost at once. */
  #noteParting(member: Member, reason: string): null {
    const rank = this.#rankOrNull(member);
    const loss = new WorkerLost(member.workerId, { rank, reason, manner: "left" });
    if (this.#ring === null) throw loss;
    this.#parting.abort(loss);
    return null;
  }

  #rankOrNull(member: Member): number | null {
    const rank = this.rankOf(member.workerId);
    return rank < 0 ? null : rank;
  }

  #nextRing(members: readonly Member[], reason: string): RingPlan {
    this.#generation++;
    this.#ring = planRing(members, this.#generation, reason);
    return this.#ring;
  }

  #sendFormRing(
    member: Member,
    place: {
      readonly generation: bigint;
      readonly rank: number;
      readonly members: readonly Pick<
        Member,
        "workerId" | "incarnation" | "ringAddress" | "hostId"
      >[];
    },
    state: { readonly committedStep: number; readonly loadState: boolean },
  ): void {
    const value = create(FormRingSchema, {
      generation: place.generation,
      rank: place.rank,
      members: [...place.members],
      committedStep: BigInt(state.committedStep),
      loadState: state.loadState,
    });
    this.#roster.send(member.workerId, { case: "formRing", value });
  }

  async #ready(ring: RingPlan, signal: AbortSignal): Promise<void> {
    const ready = new Set<string>();
    while (ready.size < ring.members.length) {
      const { member, report } = await this.next(signal);
      if (report.case === "ringReady") ready.add(member.workerId);
    }
  }
}
