/**
 * Workers that join while a run goes on. Each is told at once what to prepare, and records and compiles while the others train;
 * once it has, it waits for the next boundary between two steps, where the run takes it into the ring.
 */
import type { AttendRequest, Prepare, Prepared } from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { Member } from "../server/membership.ts";

/** A worker that has prepared. */
export interface ReadyWorker {
  readonly member: Member;
  readonly prepared: Prepared;
}

function nameOf({ workerId, incarnation }: Member): string {
  return `${workerId} ${incarnation}`;
}

/** Keeps account of who was told and who is ready. */
export class Newcomers {
  #prepare: Prepare | null = null;
  readonly #told = new Set<string>();
  readonly #ready = new Map<string, ReadyWorker>();
  readonly #entering = new Set<string>();
  /** Why a worker will not be ready, by worker id. */
  readonly #failures = new Map<string, string>();

  /** What every worker prepares from now on; null before the run has said it. */
  get prepare(): Prepare | null {
    return this.#prepare;
  }

  /** From now on workers that join are told to prepare this. */
  open(prepare: Prepare): void {
    this.#prepare = prepare;
  }

  /** What to tell a member; null for one that was told, or while there is nothing to tell. */
  invite(member: Member): Prepare | null {
    if (this.#prepare === null || this.#told.has(nameOf(member))) return null;
    this.#told.add(nameOf(member));
    return this.#prepare;
  }

  /** A member outside of the ring gets ready, or will not be. @returns whether it waits to be let go */
  hear(member: Member, report: AttendRequest["report"]): boolean {
    const { workerId } = member;
    if (report.case === "prepared") this.#ready.set(workerId, { member, prepared: report.value });
    if (report.case !== "failed" && report.case !== "leaving") return false;
    this.#ready.delete(workerId);
    if (report.case === "leaving") return true;
    this.#failures.set(workerId, report.value.message);
    return false;
  }

  /** A member outside of the ring has left. @param reason as the connection has it @returns the reason that counts */
  left(member: Member, reason: string): string {
    const failure = this.#failures.get(member.workerId);
    this.#failures.delete(member.workerId);
    this.#ready.delete(member.workerId);
    return failure ?? reason;
  }

  /** Those that are ready, each given once; they count as entering until `settle`. */
  take(): readonly ReadyWorker[] {
    const all = [...this.#ready.values()];
    for (const { member } of all) this.#entering.add(member.workerId);
    this.#ready.clear();
    return all;
  }

  /** Whether a worker is about to enter a ring that others have been in. */
  isEntering(workerId: string): boolean {
    return this.#entering.has(workerId);
  }

  /** Those that were taken are in the ring, or gone. */
  settle(): void {
    this.#entering.clear();
  }
}
