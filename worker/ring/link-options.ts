/** What both ends of a gRPC link know of their generation. */

import type { Lane } from "./lane-thread.ts";

/** One neighbour. */
export interface Neighbour {
  readonly workerId: string;
  readonly ringAddress: string;
  readonly hostId: string;
}

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
  /** This worker's lanes, for a link without shared memory; none where they cannot be started. */
  readonly lanes: () => Promise<readonly Lane[]>;
  readonly signal: AbortSignal;
}

/** How payloads travel to the right neighbour. */
export type Transport = "grpc" | "shm";
