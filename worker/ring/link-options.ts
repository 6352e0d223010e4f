/** What both ends of a gRPC link know of their generation. */

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
  readonly signal: AbortSignal;
}

/** How payloads travel to the right neighbour. */
export type Transport = "grpc" | "shm";
