/**
 * The workers as the run sees them: a ring of ranks that are told things and report. It waits for reports, turns a lost
 * worker or a failure into an error, and drops what an older generation still says.
 */
import { create } from "@bufbuild/protobuf";
import { FinishSchema } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { AttendRequest, Prepare, Prepared } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { FleetObserver } from "./fleet-observer.ts";
import { Newcomers } from "./newcomers.ts";
import { ringMessages, singleMessages } from "./ring-messages.ts";
import type { RingMessage, RingStart } from "./ring-messages.ts";
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
  /** Last step that each worker has applied, by id. */
  readonly #applied = new Map<string, number>();
  #failure: { readonly error: unknown } | null = null;
  readonly #parting = new AbortController();
  /** Workers that join while the run goes on. */
  readonly newcomers = new Newcomers();

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

  /** Has every worker compile the job, and those that join later too; gives what each said so far, by worker id. */
  async prepare(prepare: Prepare, signal: AbortSignal): Promise<ReadonlyMap<string, Prepared>> {
    this.newcomers.open(prepare);
    const members = this.#roster.members();
    for (const member of members) this.#invite(member);
    const prepared = new Map<string, Prepared>();
    while (!members.every(({ workerId }) => prepared.has(workerId))) {
      const { member, report } = await this.next(signal);
      if (report.case === "prepared") prepared.set(member.workerId, report.value);
    }
    return prepared;
  }

  /** Forms a ring of these members and waits until every one is in it. Work that they had is abandoned. */
  async formRing(
    members: readonly Member[],
    start: RingStart,
    signal: AbortSignal,
  ): Promise<RingPlan> {
    const { committedStep, loading = new Set(), reason } = start;
    for (const workerId of loading) this.#applied.set(workerId, committedStep);
    const ring = this.#nextRing(members, reason);
    await this.#enter(ringMessages(ring, committedStep, loading), signal);
    return ring;
  }

  /** Waits until every member of the ring has applied a step. */
  async applied(step: number, signal: AbortSignal): Promise<void> {
    const isBehind = ({ workerId }: Member): boolean => (this.#applied.get(workerId) ?? 0) < step;
    while (this.members.some(isBehind)) await this.next(signal);
  }

  /** Gives every member a ring of its own, for predictions, which exchange nothing. */
  async formSingles(members: readonly Member[], signal: AbortSignal): Promise<void> {
    const ring = this.#nextRing(members, "predicting, each for itself");
    await this.#enter(singleMessages(ring), signal);
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
    for (const member of this.#roster.members()) this.#finish(member, reason);
  }

  /** Waits until no worker attends any more. */
  async dissolve(signal: AbortSignal): Promise<void> {
    while (this.#roster.members().length > 0) {
      const event = await this.#roster.events.take(signal);
      if (event.kind === "left") this.#observer.onLeft(event.member, "the run is over");
      if (event.kind === "report") this.#noteAside(event.member, event.report);
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
        this.#invite(event.member);
        return null;
      case "left":
        if (this.#isOutside(event.member)) {
          this.#observer.onLeft(event.member, this.newcomers.left(event.member, event.reason));
          return null;
        }
        this.#observer.onLeft(event.member, event.reason);
        throw new WorkerLost(event.member.workerId, {
          rank: this.#rankOrNull(event.member),
          reason: event.reason,
        });
      case "fault":
        throw event.error;
      case "report": {
        const { member, report, generation } = event;
        if (this.#isOutside(member)) {
          const isLeaving = this.newcomers.hear(member, report);
          if (isLeaving) this.#finish(member, "it was told to leave");
          return null;
        }
        if (report.case === "failed") {
          // What one that enters cannot do is no fault in the run's input: the others have done it.
          const badInput = report.value.badInput && !this.newcomers.isEntering(member.workerId);
          const failure = { ...report.value, badInput };
          throw failureOf(member.workerId, this.#rankOrNull(member), failure);
        }
        if (report.case === "leaving") return this.#noteParting(member, report.value.reason);
        if (generation !== this.#generation || this.#noteAside(member, report)) return null;
        if (report.case === "stepApplied")
          this.#applied.set(member.workerId, Number(report.value.step));
        return { member, report, rank: this.rankOf(member.workerId) };
      }
    }
  }

  /** Whether a ring is there and this member is not in it. */
  #isOutside(member: Member): boolean {
    return this.#ring !== null && this.rankOf(member.workerId) < 0;
  }

  #invite(member: Member): void {
    const value = this.newcomers.invite(member);
    if (value !== null) this.#roster.send(member.workerId, { case: "prepare", value });
  }

  #finish({ workerId }: Member, reason: string): void {
    this.#roster.send(workerId, { case: "finish", value: create(FinishSchema, { reason }) });
  }

  /** What workers tell whenever they get round to it, which no step waits for. */
  #noteAside(member: Member, report: Report): boolean {
    if (report.case !== "stepProfiled" && report.case !== "weightsHashed") return false;
    if (report.case === "weightsHashed") this.#observer.onHashed(member, report.value);
    else this.#observer.onProfiled(member, this.rankOf(member.workerId), report.value);
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

  async #enter(messages: readonly RingMessage[], signal: AbortSignal): Promise<void> {
    for (const [{ workerId }, value] of messages)
      this.#roster.send(workerId, { case: "formRing", value });
    const ready = new Set<string>();
    while (ready.size < messages.length) {
      const { member, report } = await this.next(signal);
      if (report.case === "ringReady") ready.add(member.workerId);
    }
  }
}
