/**
 * The walk that every collective over a link is: send the own part; add or copy every chunk that arrives, and pass it on
 * unless that was the last hop.
 */
import { ringChunkBytes } from "../../proto/limits.ts";
import { copyBytes } from "../exact/arena.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { LinkBroken, type Chunk, type Landing, type Link } from "./link.ts";

/** A rank's place, and the count of its collectives: all ranks call the same collectives in the same order. */
export interface Place {
  readonly rank: number;
  readonly rankCount: number;
  readonly link: Link;
  /** Next collective's number; advanced by each call. */
  collective: number;
  /** Hears of every hop that has been received whole, and how long ago that was, in milliseconds; by default just now. */
  readonly onRound?: (agoMs?: number) => void;
}

/** What to do with a chunk that has arrived, and whether its content is wanted further on. */
export interface Walk {
  /** First and last hop, inclusive. */
  readonly firstHop: number;
  readonly lastHop: number;
  /** Bytes of the segment that is received at a hop. */
  bytesAt(hop: number): number;
  /** The part to send at the first hop. */
  readonly own: Uint8Array;
  /** Where what is received at a hop may be put as it arrives; null where it is combined with what is there. */
  landingAt(hop: number): Uint8Array | null;
  /** Takes the chunk in, which may lie there already, and returns the bytes to pass on. */
  take(hop: number, offset: number, data: Uint8Array): Uint8Array;
}

/** Least bytes of a chunk of a part that has more than one. */
const chunkBytesMin = 1024 * 1024;
/** Chunks that a part is cut into at least, where they are not too small: while one is added up, the next is on its way. */
const chunksOfPart = 4;
/** Chunks are whole elements and whole pages. */
const chunkStepBytes = 64 * 1024;

/** Bytes of the chunks that a part is cut into. */
export function chunkBytesOf(partBytes: number): number {
  const share = Math.ceil(partBytes / chunksOfPart / chunkStepBytes) * chunkStepBytes;
  return Math.min(ringChunkBytes, Math.max(chunkBytesMin, share));
}

/** A part of a vector as chunks of at most `ringChunkBytes`, each a view of it; none for an empty part. */
export function cutChunks(
  whole: Uint8Array,
): { readonly offset: number; readonly data: Uint8Array }[] {
  const chunkBytes = chunkBytesOf(whole.byteLength);
  const count = Math.ceil(whole.byteLength / chunkBytes);
  return Array.from({ length: count }, (_, index) => {
    const offset = index * chunkBytes;
    return { offset, data: whole.subarray(offset, offset + chunkBytes) };
  });
}

/** Throws LinkBroken for a chunk of another collective or hop, or one that does not lie within its segment. */
export function checkChunk(chunk: Chunk, place: Place, walk: Walk): void {
  const known =
    chunk.collective === place.collective &&
    chunk.hop >= walk.firstHop &&
    chunk.hop <= walk.lastHop;
  if (!known || chunk.offset + chunk.data.byteLength > walk.bytesAt(chunk.hop)) {
    throw new LinkBroken(
      `Cannot take chunk of collective ${chunk.collective}, hop ${chunk.hop}, offset ${chunk.offset}, ` +
        `${chunk.data.byteLength} bytes as part of collective ${place.collective}, hops ${walk.firstHop} to ${walk.lastHop}`,
    );
  }
}

/** `target.set(data)` where the link has not put the data there itself. */
export function settle(target: Uint8Array, data: Uint8Array): void {
  const isThere = data.buffer === target.buffer && data.byteOffset === target.byteOffset;
  if (!isThere) copyBytes(target, data);
}

/** Why nothing more can be sent; made once, because finding out where an error was made takes longer than the rest of its end. */
const over = new LinkBroken("the collective is over");

/** Queues a chunk of the collective under way. */
export type Push = (chunk: Omit<Chunk, "collective">) => Promise<void>;

/** What a collective does over a link. */
export interface Exchange {
  /** Bytes that are pushed in all. */
  readonly bytes: number;
  /** Where a chunk's payload may be put as it arrives; null leaves it to the link. */
  readonly landing: Landing;
  readonly receive: (push: Push) => Promise<void>;
}

/**
 * Receives and, at the same time, sends what is pushed; afterwards all of it may be overwritten, and the collective's number is
 * advanced. Rejects with LinkBroken, with the signal's reason, or as `receive` does.
 */
export async function sendWhile(
  place: Place,
  { bytes, landing, receive }: Exchange,
  signal: AbortSignal,
): Promise<void> {
  const { collective, link } = place;
  // What is to be sent waits here by reference, never by copy: who receives must not wait for who sends, or a ring of full
  // windows would wait for itself. What waits is not overwritten before: its place changes only after it has gone round. So each
  // place of the vector waits once at most, and all that waits is no more than the vector has bytes.
  const outgoing = new ChunkQueue<Chunk>(Number.POSITIVE_INFINITY);
  const sendAll = async (): Promise<void> => {
    for (let sent = 0; sent < bytes;) {
      const chunk = await outgoing.shift(signal);
      await link.send(chunk, signal);
      sent += chunk.data.byteLength;
    }
    await link.flush(signal);
  };
  link.land((head) => (head.collective === collective ? landing(head) : null));
  try {
    const received = receive((chunk) => outgoing.push({ collective, ...chunk }, signal));
    await Promise.all([sendAll(), received]);
  } finally {
    link.land(null);
    outgoing.close(over);
  }
  place.collective += 1;
}

/**
 * Walks the hops of a collective: sends the own part, takes in every chunk that arrives and passes it on unless that was
 * the last hop. Advances the collective's number. Rejects with LinkBroken, or with the signal's reason.
 *
 *   rank 0 ──► rank 1 ──► rank 2 ──► rank 3 ──► rank 0
 *
 * At hop h rank r sends segment r − h and receives segment r − h − 1, modulo N. An all-reduce of four ranks receives (+ adds, = overwrites):
 *
 *   hop       0    1    2    3    4    5
 *   rank 0   +3   +2   +1   =0   =3   =2
 *   rank 1   +0   +3   +2   =1   =0   =3
 *   rank 2   +1   +0   +3   =2   =1   =0
 *   rank 3   +2   +1   +0   =3   =2   =1
 *
 * Its cost: 2 (N − 1) hops; of K bytes each rank sends 2 K (N − 1) / N.
 */
export async function walkRing(place: Place, walk: Walk, signal: AbortSignal): Promise<void> {
  let toReceive = 0;
  let toSend = walk.own.byteLength;
  for (let hop = walk.firstHop; hop <= walk.lastHop; hop++) {
    toReceive += walk.bytesAt(hop);
    if (hop < walk.lastHop) toSend += walk.bytesAt(hop);
  }
  const receiveAll = async (push: Push): Promise<void> => {
    for (const { offset, data } of cutChunks(walk.own)) {
      await push({ hop: walk.firstHop, offset, data });
    }
    let ofHop = 0;
    for (let received = 0; received < toReceive;) {
      const chunk = await place.link.receive(signal);
      checkChunk(chunk, place, walk);
      const { hop, offset } = chunk;
      received += chunk.data.byteLength;
      ofHop += chunk.data.byteLength;
      const data = walk.take(hop, offset, chunk.data);
      if (hop < walk.lastHop) await push({ hop: hop + 1, offset, data });
      if (ofHop === walk.bytesAt(hop)) {
        ofHop = 0;
        place.onRound?.();
      }
    }
  };
  const landing: Landing = ({ hop, offset, bytes }) => {
    const isKnown = hop >= walk.firstHop && hop <= walk.lastHop;
    const whole = isKnown ? walk.landingAt(hop) : null;
    return whole === null || offset + bytes > whole.byteLength
      ? null
      : whole.subarray(offset, offset + bytes);
  };
  await sendWhile(place, { bytes: toSend, landing, receive: receiveAll }, signal);
}
