/** What both ends of a gRPC link know of their generation. */

import type { Lane } from "./lane-thread.ts";

/** One neighbour. */
export interface Neighbour {
  readonly workerId: string;
  readonly ringAddress: string;
  readonly hostId: string;
}

/** A worker's lanes. */
export interface Lanes {
  /** Those that could be started, at the first call; none where they are not wanted, or are given up. */
  take(): Promise<readonly Lane[]>;
  /** A neighbour's lanes cannot be reached, for this reason: they are done without from the next ring on. */
  giveUp(reason: string): void;
}

/** Of who has none. */
export const noLanes: Lanes = { take: () => Promise.resolve([]), giveUp: () => undefined };

/** What a link needs to know of its generation. */
export interface LinkOptions {
  readonly run: string;
  readonly generation: bigint;
  readonly rank: number;
  readonly workerId: string;
  readonly hostId: string;
  readonly left: Neighbour;
  readonly right: Neighbour;
  readonly ringKey: Uint8Array;
  /** Folder for shared memory, or null to send every payload by gRPC. */
  readonly sharedMemoryFolder: string | null;
  /** 0, or from 1 which of the lanes this is. */
  readonly lane: number;
  /** For a link without shared memory. */
  readonly lanes: Lanes;
  readonly signal: AbortSignal;
}

/** How payloads travel to the right neighbour. */
export type Transport = "grpc" | "shm";
