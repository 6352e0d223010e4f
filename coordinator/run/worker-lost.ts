/** The error that a worker's loss is, wherever the run was waiting. */
import { BadInput } from "../../foundation/bad-input.ts";

/** A worker is gone, or is about to go, without the coordinator having told it to leave. */
export class WorkerLost extends Error {
  override readonly name = "WorkerLost";
  readonly workerId: string;
  /** Rank that it had; null before the first ring. */
  readonly rank: number | null;
  /** `left` when it said so itself and could finish its step. */
  readonly manner: "lost" | "left";
  /** Why the coordinator takes it for lost, in words. */
  readonly reason: string;
  /** Further lines that the worker itself gave. */
  readonly detail: string;
  constructor(
    workerId: string,
    loss: {
      readonly rank: number | null;
      readonly reason: string;
      readonly detail?: string;
      readonly manner?: "lost" | "left";
    },
  ) {
    super(`${workerId} ${loss.manner === "left" ? "left" : "is lost"}: ${loss.reason}`);
    this.manner = loss.manner ?? "lost";
    this.workerId = workerId;
    this.rank = loss.rank;
    this.reason = loss.reason;
    this.detail = loss.detail ?? "";
  }
}

/** The error that a worker's own report of its failure stands for: the user's input, or its loss. */
export function failureOf(
  workerId: string,
  rank: number | null,
  failure: { readonly message: string; readonly detail: string; readonly badInput: boolean },
): Error {
  if (!failure.badInput) {
    const { message: reason, detail } = failure;
    return new WorkerLost(workerId, { rank, reason, detail });
  }
  // The worker has said it in full already.
  return Object.assign(new BadInput({ expected: "" }), { message: failure.message });
}
