/**
 * Sends DATA frames of one connection: as large as the other side takes them, within the windows that it has opened.
 * node's own HTTP/2 cuts everything into frames of 16 KiB.
 */
import { frameTypes, writeFrameHead, type SenderSettings } from "./http2-frames.ts";

/** Where both windows begin, and the largest frame, until the other side says otherwise. */
const initial = { windowBytes: 65_535, frameBytesMax: 16_384 } as const;

/** Bytes that wait to be sent. */
interface Waiting {
  readonly pieces: Uint8Array[];
  readonly sent: () => void;
}

interface Lane {
  windowBytes: number;
  /** Whether the stream's HEADERS have been sent. */
  isOpen: boolean;
  readonly waiting: Waiting[];
}

/** What the other side takes. */
export interface SenderRoom {
  readonly connectionBytes: number;
  readonly streamBytes: number;
  readonly frameBytesMax: number;
}

/** Writes pieces to the connection, one after the other; `sent` is called when the last one has left it. */
export type WritePieces = (pieces: readonly Uint8Array[], sent?: () => void) => void;

/** The streams of one connection that send DATA. */
export class DataSender {
  readonly #write: WritePieces;
  readonly #lanes = new Map<number, Lane>();
  #initialWindowBytes: number = initial.windowBytes;
  #frameBytesMax: number = initial.frameBytesMax;
  #windowBytes: number = initial.windowBytes;

  constructor(write: WritePieces) {
    this.#write = write;
  }

  /** A stream that will send. What is sent waits until its HEADERS have left. */
  add(streamId: number): void {
    this.#lanes.set(streamId, {
      windowBytes: this.#initialWindowBytes,
      isOpen: false,
      waiting: [],
    });
  }

  /** The stream's HEADERS have left. */
  open(streamId: number): void {
    const lane = this.#lanes.get(streamId);
    if (lane === undefined || lane.isOpen) return;
    lane.isOpen = true;
    this.#sendAll();
  }

  /** The stream is over: nothing more is sent, and all that waited counts as sent. */
  remove(streamId: number): void {
    const lane = this.#lanes.get(streamId);
    this.#lanes.delete(streamId);
    for (const { sent } of lane?.waiting ?? []) sent();
  }

  /** Sends pieces, none of them empty. They must stay as they are until `sent` is called: when they have left, or never will. */
  send(streamId: number, pieces: readonly Uint8Array[], sent: () => void): void {
    const lane = this.#lanes.get(streamId);
    if (lane === undefined) {
      sent();
      return;
    }
    lane.waiting.push({ pieces: [...pieces], sent });
    this.#sendLane(streamId, lane);
  }

  /** The other side has changed its settings. */
  settings({ initialWindowBytes, frameBytesMax }: SenderSettings): void {
    this.#frameBytesMax = frameBytesMax ?? this.#frameBytesMax;
    const more = (initialWindowBytes ?? this.#initialWindowBytes) - this.#initialWindowBytes;
    this.#initialWindowBytes += more;
    for (const lane of this.#lanes.values()) lane.windowBytes += more;
    this.#sendAll();
  }

  /** The other side takes so many bytes more on a stream, or with 0 on the connection. */
  widen(streamId: number, bytes: number): void {
    const lane = this.#lanes.get(streamId);
    if (streamId === 0) this.#windowBytes += bytes;
    else if (lane !== undefined) lane.windowBytes += bytes;
    this.#sendAll();
  }

  /** What the other side takes on a stream as things are: bytes before it has to say more, and in one frame. */
  roomOf(streamId: number): SenderRoom {
    return {
      connectionBytes: this.#windowBytes,
      streamBytes: this.#lanes.get(streamId)?.windowBytes ?? 0,
      frameBytesMax: this.#frameBytesMax,
    };
  }

  #sendAll(): void {
    for (const [streamId, lane] of this.#lanes) this.#sendLane(streamId, lane);
  }

  #sendLane(streamId: number, lane: Lane): void {
    while (lane.isOpen) {
      const next = lane.waiting[0];
      const most = Math.min(this.#frameBytesMax, this.#windowBytes, lane.windowBytes);
      if (next === undefined || most <= 0) return;
      const { taken, bytes } = takePieces(next.pieces, most);
      lane.windowBytes -= bytes;
      this.#windowBytes -= bytes;
      const head = writeFrameHead({ length: bytes, type: frameTypes.data, flags: 0, streamId });
      const isLast = next.pieces.length === 0;
      if (isLast) lane.waiting.shift();
      this.#write([head, ...taken], isLast ? next.sent : undefined);
    }
  }
}

/** Takes at most `most` bytes off the front of pieces. */
function takePieces(
  pieces: Uint8Array[],
  most: number,
): { readonly taken: readonly Uint8Array[]; readonly bytes: number } {
  const taken: Uint8Array[] = [];
  let bytes = 0;
  for (let piece = pieces[0]; piece !== undefined && bytes < most; piece = pieces[0]) {
    const part = piece.subarray(0, most - bytes);
    if (part.byteLength === piece.byteLength) pieces.shift();
    else pieces[0] = piece.subarray(part.byteLength);
    taken.push(part);
    bytes += part.byteLength;
  }
  return { taken, bytes };
}
