/**
 * The connection of a pull. DATA is read by the ring itself, straight into the memory of the message that it belongs to;
 * everything else is node's HTTP/2. Node alone would read 64 KiB at a time into memory made anew, and take frames of 16 KiB.
 */
import { connect as connectPlain, isIP, type OnReadOpts, type Socket } from "node:net";
import { connect as connectSecure } from "node:tls";
import { anyName, type TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { receiveWindowBytes } from "../../proto/limits.ts";
import { ControlStream } from "./control-stream.ts";
import { FrameSplitter, type FrameTaker } from "./frame-splitter.ts";
import type { FrameReader } from "./grpc-frames.ts";
import {
  frameFlags,
  frameTypes,
  windowUpdate,
  writeFrameHead,
  type FrameHead,
} from "./http2-frames.ts";
import { ringTlsVersion } from "./ring-http2.ts";
import { takeDescriptor } from "./socket-handle.ts";

/** Number of the only stream: the first that a client opens. */
const streamId = 1;
/** Memory for what is not read to its place: heads, control frames, and the first bytes of a payload behind its head. */
const scratchBytes = 16 * 1024;
/** Bytes taken before the other side hears of it. */
const grantBytesMin = receiveWindowBytes / 4;

/** What a connection is made with. */
export interface PullConnectionOptions {
  /** host:port. */
  readonly address: string;
  readonly tls: TlsIdentity | null;
  /** Reads what comes on the stream. */
  readonly reader: FrameReader;
  /** Longest DATA frame that was announced to the other side. */
  readonly frameBytesMax: number;
  /** It is made; heard at most once. */
  connected(): void;
  /** It does not work. */
  failed(error: Error): void;
  /** What came makes no sense. */
  senseless(error: unknown): void;
  /** It is over; heard once. */
  closed(): void;
}

/** One connection. */
export class PullConnection {
  /** Its control frames, for node's HTTP/2. */
  readonly control: ControlStream;
  readonly #options: PullConnectionOptions;
  readonly #socket: Socket;
  readonly #scratch = Buffer.alloc(scratchBytes);
  readonly #splitter: FrameSplitter;
  /** Bytes that have been taken and not been granted again. */
  #taken = 0;
  #isPaused = false;

  constructor(options: PullConnectionOptions) {
    this.#options = options;
    this.#splitter = new FrameSplitter({
      prefaceBytes: 0,
      begin: (head) => this.#begin(head),
      pass: (bytes) => this.control.receive(bytes),
    });
    this.#socket = openSocket(options, {
      buffer: () => this.#splitter.room() ?? this.#scratch,
      callback: (count, buffer) => this.#read(count, buffer),
    });
    this.control = new ControlStream(this.#socket);
    // Whoever uses the connection hears of its failures by `failed`.
    this.control.on("error", () => undefined);
    const ready = options.tls === null ? "connect" : "secureConnect";
    this.#socket.once(ready, () => options.connected());
    this.#socket.on("error", (error) => options.failed(error));
    this.#socket.once("close", () => options.closed());
  }

  /** Grants nothing further: what comes is bounded by the window. */
  pause(): void {
    this.#isPaused = true;
  }

  resume(): void {
    this.#isPaused = false;
    this.#grant();
  }

  /** Hands the socket over to who reads and writes it by its descriptor; null where there is none. Nothing may be on its way. */
  handOver(): number | null {
    if (this.#options.tls !== null || this.#socket.destroyed) return null;
    this.control.handOver();
    return takeDescriptor(this.#socket);
  }

  destroy(): void {
    this.control.destroy();
  }

  #read(count: number, buffer: Uint8Array): boolean {
    try {
      if (buffer === this.#scratch) this.#splitter.read(buffer.subarray(0, count));
      else this.#splitter.filled(count);
    } catch (error) {
      this.#options.senseless(error);
    }
    return !this.control.isFull;
  }

  #begin(head: FrameHead): FrameTaker | null {
    if (head.type !== frameTypes.data || head.streamId !== streamId) return null;
    const { reader, frameBytesMax } = this.#options;
    const { length, flags } = head;
    this.#taken += length;
    if (length > frameBytesMax || this.#taken > receiveWindowBytes)
      throw new RangeError(
        `Cannot take ${length} bytes of DATA as the window has no room for them`,
      );
    if ((flags & frameFlags.padded) !== 0) throw new RangeError("Cannot take padded DATA");
    return {
      take: (piece) => reader.read(piece),
      room: () => reader.room(),
      filled: (count) => reader.filled(count),
      end: () => {
        this.#grant();
        // That the stream ends is node's to know.
        const isLast = (flags & frameFlags.endStream) !== 0;
        if (isLast) this.control.receive(writeFrameHead({ ...head, length: 0 }));
      },
    };
  }

  #grant(): void {
    if (this.#isPaused || this.#taken < grantBytesMin || this.#socket.destroyed) return;
    this.#socket.write(
      Buffer.concat([windowUpdate(0, this.#taken), windowUpdate(streamId, this.#taken)]),
    );
    this.#taken = 0;
  }
}

function openSocket({ address, tls }: PullConnectionOptions, onread: OnReadOpts): Socket {
  const { hostname, port } = new URL(`http://${address}`);
  const host = hostname.replace(/^\[|\]$/g, "");
  // A URL leaves out the port that its scheme has anyway.
  const place = { host, port: port === "" ? 80 : Number(port), onread };
  if (tls === null) return connectPlain(place);
  const { cert, key, ca } = tls;
  return connectSecure({
    ...place,
    cert,
    key,
    ca,
    minVersion: ringTlsVersion,
    checkServerIdentity: anyName,
    servername: isIP(host) === 0 ? host : "",
    ALPNProtocols: ["h2"],
  });
}
