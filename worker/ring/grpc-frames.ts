/**
 * gRPC's framing of messages in an HTTP/2 stream: a byte that says whether it is compressed (never here), four with its
 * length, then the message. Source: "gRPC over HTTP2", PROTOCOL-HTTP2.md of the gRPC repository.
 */

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
   * Memory for a message.
   * @param length its bytes: as many as are to be given
   * @param first the first ones of them, or all
   */
  take(length: number, first: Uint8Array): Uint8Array;
  /** Takes a whole message, in the memory that `take` gave. */
  message(bytes: Uint8Array): void;
}

/** Puts messages together from the pieces of a stream, each byte copied once. */
export class FrameReader {
  readonly #options: FrameReaderOptions;
  /** The prefix and the message's first bytes. */
  readonly #head = Buffer.alloc(prefixBytes + firstBytes);
  #headFilled = 0;
  #headWanted = prefixBytes;
  #message: Uint8Array | null = null;
  #filled = 0;

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
    return this.#message?.subarray(this.#filled) ?? null;
  }

  /** So many bytes have been read into `room`. */
  filled(count: number): void {
    const message = this.#message;
    this.#filled += count;
    if (message === null || this.#filled < message.byteLength) return;
    this.#message = null;
    this.#options.message(message);
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
    const message = this.#options.take(length, first);
    message.set(first);
    this.#filled = first.byteLength;
    this.#headFilled = 0;
    this.#headWanted = prefixBytes;
    if (this.#filled === length) this.#options.message(message);
    else this.#message = message;
  }

  #readMessage(message: Uint8Array, piece: Uint8Array): number {
    const count = Math.min(message.byteLength - this.#filled, piece.byteLength);
    message.set(count === piece.byteLength ? piece : piece.subarray(0, count), this.#filled);
    this.filled(count);
    return count;
  }
}
