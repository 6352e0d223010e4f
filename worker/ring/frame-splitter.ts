/** Follows a connection's bytes frame by frame: some frames are taken out, the others passed on as they are. */
import { frameHeadBytes, readFrameHead, type FrameHead } from "./http2-frames.ts";

/** Who takes a frame's payload in. */
export interface FrameTaker {
  /** The next bytes of it; they are the reader's again afterwards. */
  take(piece: Uint8Array): void;
  /** Memory that the next bytes may be read into instead; null where they have to be given to `take`. */
  room?(): Uint8Array | null;
  /** So many bytes have been read into `room`. */
  filled?(count: number): void;
  /** The payload was whole. */
  end?(): void;
}

/** What to do with frames. */
export interface FrameSplitterOptions {
  /** Bytes before the first frame; they are passed on. */
  readonly prefaceBytes: number;
  /** Who takes a frame; null passes it on. Throws for a frame that ends the connection. */
  begin(head: FrameHead): FrameTaker | null;
  /** Bytes of what is passed on; they are the reader's again afterwards. */
  pass(bytes: Uint8Array): void;
}

/** One direction of a connection. */
export class FrameSplitter {
  readonly #options: FrameSplitterOptions;
  readonly #head = Buffer.alloc(frameHeadBytes);
  #headFilled = 0;
  /** Bytes until the frame under way, or the preface, is whole. */
  #left: number;
  #taker: FrameTaker | null = null;

  constructor(options: FrameSplitterOptions) {
    this.#options = options;
    this.#left = options.prefaceBytes;
  }

  /** Takes the next bytes. Throws what `begin` and the takers throw. */
  read(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.byteLength;) {
      if (this.#left === 0) {
        at += this.#readHead(bytes.subarray(at));
        continue;
      }
      const piece = bytes.subarray(at, at + this.#left);
      at += piece.byteLength;
      if (this.#taker === null) this.#options.pass(piece);
      else this.#taker.take(piece);
      this.#advance(piece.byteLength);
    }
  }

  /** Memory for exactly the next bytes of a frame that is taken; null where they are to be given to `read`. */
  room(): Uint8Array | null {
    const room = this.#left === 0 ? null : (this.#taker?.room?.() ?? null);
    return room === null ? null : room.subarray(0, this.#left);
  }

  /** So many bytes have been read into `room`. */
  filled(count: number): void {
    this.#taker?.filled?.(count);
    this.#advance(count);
  }

  #readHead(bytes: Uint8Array): number {
    const count = Math.min(frameHeadBytes - this.#headFilled, bytes.byteLength);
    this.#head.set(bytes.subarray(0, count), this.#headFilled);
    this.#headFilled += count;
    if (this.#headFilled < frameHeadBytes) return count;
    this.#headFilled = 0;
    const head = readFrameHead(this.#head);
    this.#taker = this.#options.begin(head);
    if (this.#taker === null) this.#options.pass(this.#head);
    this.#left = head.length;
    if (head.length === 0) this.#advance(0);
    return count;
  }

  #advance(count: number): void {
    this.#left -= count;
    if (this.#left > 0) return;
    const taker = this.#taker;
    this.#taker = null;
    taker?.end?.();
  }
}
