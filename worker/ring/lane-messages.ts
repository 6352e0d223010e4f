/** What the main thread and a lane's thread say to each other. Payloads lie in memory that both have. */
import type { MessagePort } from "node:worker_threads";
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import type { LinkOptions } from "./link-options.ts";
import type { ChunkHead } from "./link.ts";

/** What a lane's thread is started with: where its own ring service listens, at a free port. */
export interface LaneSettings {
  readonly listenHost: string;
  readonly advertiseHost: string;
  readonly tls: TlsIdentity | null;
}

/** What a lane knows of its generation; the left neighbour's address is that of its lane. */
export type LaneEnds = Omit<LinkOptions, "signal" | "sharedMemoryFolder" | "lanes">;

/** Main thread to lane: lets the right neighbour pull, or pulls from the left one, until the port is closed; or ends the thread. */
export type LaneRequest =
  | { readonly kind: "end" }
  | { readonly kind: "serve"; readonly ends: LaneEnds; readonly port: MessagePort }
  | {
      readonly kind: "pull";
      readonly ends: LaneEnds;
      readonly port: MessagePort;
      /** Becomes 1 when nothing is written any more. */
      readonly stopped: Int32Array;
    };

/** Lane to main thread. */
export type LaneAnswer =
  | { readonly kind: "ready"; readonly address: string }
  | { readonly kind: "broken"; readonly reason: string };

/** Over the port of `serve`, to the lane: a chunk to send. Each is answered by `sent` when its payload may be overwritten. */
export interface LaneSend {
  readonly head: ChunkHead;
  readonly data: Uint8Array;
}

/** Over the port of `serve`, from the lane. */
export type LaneSent =
  | { readonly kind: "sent" }
  | { readonly kind: "lost"; readonly reason: string };

/** Over the port of `pull`, to the lane. */
export type LanePlace =
  /** Where a chunk may be put, if it has not begun to arrive. */
  | { readonly kind: "place"; readonly head: ChunkHead; readonly place: Uint8Array }
  /** What arrived last, in memory of the lane's, has been used. */
  | { readonly kind: "taken" }
  /** Nothing is to be written to places any more. That the port is closed the thread hears only when the main thread goes on. */
  | { readonly kind: "stop" };

/** Over the port of `pull`, from the lane. */
export type LaneArrival =
  | { readonly kind: "open" }
  /** A chunk is there: in the lane's own memory, or with null in its place. */
  | { readonly kind: "arrived"; readonly head: ChunkHead; readonly data: Uint8Array | null }
  | { readonly kind: "lost"; readonly reason: string };

/** Whether two heads are of one chunk. */
export function isSameChunk(one: ChunkHead, other: ChunkHead): boolean {
  return (
    one.collective === other.collective &&
    one.hop === other.hop &&
    one.offset === other.offset &&
    one.bytes === other.bytes
  );
}
