/**
 * A link is a worker's two ends in the ring: it sends to the right neighbour and receives from the left one.
 * All implementations pass one contract suite (tests/contract/link-contract.ts).
 */

/** One piece of a segment on its way. */
export interface Chunk {
  /** Counts the collectives of a generation, from 0. */
  readonly collective: number;
  /** Hop of the schedule at which it is sent. */
  readonly hop: number;
  /** Offset within the segment, in bytes. */
  readonly offset: number;
  /** The payload. A received one is valid until the next `receive`. */
  readonly data: Uint8Array;
}

/** What a chunk says of itself before its payload is there. */
export interface ChunkHead extends Omit<Chunk, "data"> {
  /** Bytes of its payload. */
  readonly bytes: number;
}

/**
 * Where a chunk's payload may be put: memory of exactly its bytes; null leaves it to the link. Heard once for each chunk at most.
 */
export type Landing = (head: ChunkHead) => Uint8Array | null;

/** The neighbour is gone or does not keep the protocol. The step cannot be finished in this generation. */
export class LinkBroken extends Error {
  override readonly name = "LinkBroken";
}

/** Both ends of a worker's place in the ring. */
export interface Link {
  /**
   * Sends a chunk to the right neighbour. Resolves when the next one may be sent (back-pressure); the payload must stay as
   * it is until it has come to the neighbour, or until `flush`. Rejects with LinkBroken, or with the signal's reason.
   */
  send(chunk: Chunk, signal: AbortSignal): Promise<void>;
  /** Resolves when every payload that was sent may be overwritten. Rejects as `send` does. */
  flush(signal: AbortSignal): Promise<void>;
  /**
   * The next chunk from the left neighbour, in the order in which it was sent. Rejects with LinkBroken when the neighbour
   * has closed or died, or with the signal's reason.
   */
  receive(signal: AbortSignal): Promise<Chunk>;
  /**
   * From now on payloads may be put where the landing says, at once as they arrive; what `receive` gives is that memory then. null: no
   * longer. A link of which a payload is on its way there is broken by that, so that nothing is written behind its back.
   */
  land(landing: Landing | null): void;
  /** Payload bytes so far. */
  readonly sentBytes: number;
  readonly receivedBytes: number;
  /** Closes both ends; waiting calls reject with LinkBroken. Safe to call twice. */
  close(): void;
}
