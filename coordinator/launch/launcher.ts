/**
 * How workers come to be: started here as processes, or started elsewhere by somebody else. A launcher knows its workers
 * by id, and can say how one ended.
 */
import type { TlsFiles } from "../../foundation/tls/tls-identity.ts";
import type { ChildEnd } from "./guard.ts";

/** What a worker is told at its start. */
export interface LaunchOrder {
  /** Workers that the run has places for. */
  readonly workers: number;
  readonly run: string;
  /** host:port at which the coordinator serves. */
  readonly coordinatorAddress: string;
  /** Secret that workers prove knowledge of. */
  readonly joinToken: string;
  /** Threads that each worker's TensorFlow will be told to take; null where workers count for themselves. */
  readonly threads: number | null;
  /** Files that secure the connection to the coordinator and those of the ring; null for plain text. */
  readonly tls: TlsFiles | null;
}

/** How a worker's process ended, and what it last said. */
export interface WorkerEnd {
  /** `running` when it has not ended; null when that is not ours to know. */
  readonly end: ChildEnd | { readonly kind: "running" } | null;
  /** Last lines of its log, oldest first. */
  readonly lastLines: readonly string[];
  /** Where its whole log is, or null. */
  readonly logFile: string | null;
}

/** Starts workers and ends them. */
export interface Launcher {
  /** Starts all workers; resolves once their processes exist. */
  launch(order: LaunchOrder): Promise<void>;
  /** The id of the worker with this process id, or null for one that was started elsewhere. */
  idOf(processId: number): string | null;
  /** How a worker ended, after waiting a little for an end that is under way. */
  endOf(workerId: string): Promise<WorkerEnd>;
  /** Resolves with the id of the first worker that ends. Never resolves when none of ours does. */
  readonly firstEnd: Promise<string>;
  /** Lets workers leave by themselves for a while, then ends them. Resolves once nothing of them is left. */
  stop(graceMs: number): Promise<void>;
}
