/**
 * gRPC's framing of messages in an HTTP/2 stream: a byte that says whether it is compressed (never here), four with its
 * length, then the message. Source: "gRPC over HTTP2", PROTOCOL-HTTP2.md of the gRPC repository.
 */

import { copyBytes } from "../exact/arena.ts";

/** Bytes in front of a message. */
export const prefixBytes = 5;

/** What goes in front of a message of `length` bytes. */
export function framePrefix(length: number): Buffer {
  const prefix = Buffer.allocUnsafe(prefixBytes);
  prefix.writeUInt8(0, 0);
  prefix.writeUInt32BE(length, 1);
  return prefix;
}

/** First bytes of a message that a reader of frames looks at before it asks for memory. */
const firstBytes = 64;

/** What a reader of frames needs. */
export interface FrameReaderOptions {
  /** Longest message that is taken. */
  readonly bytesMax: number;
  /**
   * Memory for a message, in one piece or several.
   * @param length its bytes: as many as are to be given
   * @param first the first ones of them, or all
   */
  take(length: number, first: Uint8Array): readonly Uint8Array[];
  /** Takes a whole message, in the memory that `take` gave. */
  message(pieces: readonly Uint8Array[]): void;
}

/** A message under way. */
interface Message {
  readonly pieces: readonly Uint8Array[];
  /** What of it has no bytes yet. */
  readonly left: Uint8Array[];
}

/** Puts messages together from the pieces of a stream, each byte copied once. */
export class FrameReader {
  readonly #options: FrameReaderOptions;
  /** The prefix and the message's first bytes. */
  readonly #head = Buffer.alloc(prefixBytes + firstBytes);
  #headFilled = 0;
  #headWanted = prefixBytes;
  #message: Message | null = null;

  constructor(options: FrameReaderOptions) {
    this.#options = options;
  }

  /** Takes the next piece of the stream. Throws RangeError for a message that is compressed or too long. */
  read(piece: Uint8Array): void {
    for (let at = 0; at < piece.byteLength;) {
      at +=
        this.#message === null
          ? this.#readHead(piece.subarray(at))
          : this.#readMessage(this.#message, piece.subarray(at));
    }
  }

  /** Memory for the next bytes of the message under way, which may be read into it; null where they are to be given to `read`. */
  room(): Uint8Array | null {
    return this.#message?.left[0] ?? null;
  }

  /** So many bytes have been read into `room`. */
  filled(count: number): void {
    if (this.#message === null) return;
    const { left, pieces } = this.#message;
    const [room] = left;
    if (room !== undefined && count < room.byteLength) left[0] = room.subarray(count);
    else left.shift();
    if (left.length > 0) return;
    this.#message = null;
    this.#options.message(pieces);
  }

  #readHead(piece: Uint8Array): number {
    const count = Math.min(this.#headWanted - this.#headFilled, piece.byteLength);
    this.#head.set(piece.subarray(0, count), this.#headFilled);
    this.#headFilled += count;
    if (this.#headFilled < this.#headWanted) return count;
    const length = this.#head.readUInt32BE(1);
    const { bytesMax } = this.#options;
    if (this.#head.readUInt8(0) !== 0 || length > bytesMax) {
      throw new RangeError(
        `Cannot read message that is compressed or longer than ${bytesMax} bytes: current value is ${length} bytes`,
      );
    }
    this.#headWanted = prefixBytes + Math.min(length, firstBytes);
    if (this.#headFilled === this.#headWanted) this.#begin(length);
    return count;
  }

  #begin(length: number): void {
    const first = this.#head.subarray(prefixBytes, this.#headWanted);
    const pieces = this.#options.take(length, first);
    this.#headFilled = 0;
    this.#headWanted = prefixBytes;
    const message = { pieces, left: pieces.filter(({ byteLength }) => byteLength > 0) };
    this.#message = message;
    if (length === 0) this.filled(0);
    for (let at = 0; at < first.byteLength;) at += this.#readMessage(message, first.subarray(at));
  }

  #readMessage({ left }: Message, piece: Uint8Array): number {
    const [room = piece] = left;
    const count = Math.min(room.byteLength, piece.byteLength);
    copyBytes(room, piece.subarray(0, count));
    this.filled(count);
    return count;
  }
}
