/** The serving end of a pull: a gRPC call whose messages leave without a copy. */
import { constants, type IncomingHttpHeaders, type ServerHttp2Stream } from "node:http2";
import { fromBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { PullRequestSchema, type PullRequest } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { writePullMessage, type PullMessage } from "../../proto/pull-response.ts";
import type { SenderRoom } from "./data-sender.ts";
import { framePrefix, FrameReader } from "./grpc-frames.ts";
import type { HandedOver } from "./opened-pull.ts";
import { grpcContentType } from "./ring-http2.ts";
import type { ServedConnection } from "./served-connection.ts";

/** Longest request: names and numbers. */
const requestBytesMax = 64 * 1024;

/** Who hears of what comes over a pull. */
export interface PullListener {
  request(request: PullRequest): void;
  /** The neighbour is gone; heard once. */
  lost(): void;
}

/** One pull, from the side that is pulled from. */
export class ServedPull {
  readonly #stream: ServerHttp2Stream;
  readonly #headers: IncomingHttpHeaders;
  readonly #connection: ServedConnection;
  readonly #streamId: number;
  #listener: PullListener;
  #lost = false;
  /** Messages that have not left. */
  #leaving = 0;
  #isEnding = false;

  /** @param connection that the stream belongs to */
  constructor(
    stream: ServerHttp2Stream,
    headers: IncomingHttpHeaders,
    connection: ServedConnection,
    listener: PullListener,
  ) {
    this.#stream = stream;
    this.#connection = connection;
    const { sender } = connection;
    this.#streamId = stream.id ?? 0;
    sender.add(this.#streamId);
    stream.on("close", () => sender.remove(this.#streamId));
    this.#headers = headers;
    this.#listener = listener;
    const frames = new FrameReader({
      bytesMax: requestBytesMax,
      take: (length) => [new Uint8Array(length)],
      message: ([bytes = new Uint8Array(0)]) =>
        this.#listener.request(fromBinary(PullRequestSchema, bytes)),
    });
    stream.on("data", (piece: Buffer) => {
      try {
        frames.read(piece);
      } catch (error) {
        this.refuse(status.INVALID_ARGUMENT, String(error));
      }
    });
    const lost = (): void => {
      if (this.#lost) return;
      this.#lost = true;
      this.#listener.lost();
    };
    for (const event of ["aborted", "error", "end", "close"]) stream.on(event, lost);
  }

  /** Whoever listens from now on. */
  listen(listener: PullListener): void {
    this.#listener = listener;
    if (this.#lost) listener.lost();
  }

  /** A value of the call's metadata, or an empty text. */
  metadata(name: string): string {
    const value = this.#headers[name];
    return typeof value === "string" ? value : "";
  }

  /** Tells the neighbour that it has been let in. */
  accept(): void {
    if (!this.#isOpen()) return;
    this.#stream.respond(
      { ":status": constants.HTTP_STATUS_OK, "content-type": grpcContentType },
      { waitForTrailers: true },
    );
    this.#stream.once("wantTrailers", () => {
      if (this.#isOpen()) this.#stream.sendTrailers({ "grpc-status": status.OK });
    });
  }

  /** A stream that the neighbour has reset is closed first, and destroyed some ticks later; it takes nothing from then on. */
  #isOpen(): boolean {
    return !this.#stream.destroyed && !this.#stream.closed;
  }

  /**
   * Sends a message. Its payload must stay as it is until `written` is called: when the message has left, or the stream has
   * ended.
   */
  send(message: PullMessage, written: () => void): void {
    const { head, payload, tail } = writePullMessage(message);
    const prefix = framePrefix(head.byteLength + payload.byteLength + tail.byteLength);
    const pieces = [prefix, head, payload, tail].filter((piece) => piece.byteLength > 0);
    this.#leaving += 1;
    this.#connection.sender.send(this.#streamId, pieces, () => {
      this.#leaving -= 1;
      if (this.#isEnding) this.end();
      written();
    });
  }

  /**
   * Hands the connection over to who sends on the stream by its descriptor from now on, once the neighbour has heard that it was let in;
   * null where that cannot be.
   */
  handOver(): (HandedOver & SenderRoom) | null {
    const descriptor = this.#isOpen() ? this.#connection.handOver() : null;
    const room = this.#connection.sender.roomOf(this.#streamId);
    return descriptor === null ? null : { descriptor, streamId: this.#streamId, ...room };
  }

  /** Ends the connection at once. */
  destroy(): void {
    this.#connection.session.destroy();
  }

  /** Ends the call after what was sent. */
  end(): void {
    this.#isEnding = true;
    if (this.#leaving === 0 && !this.#stream.destroyed) this.#stream.end();
  }

  /** Ends the call with an error. */
  refuse(code: status, details: string): void {
    const stream = this.#stream;
    if (!this.#isOpen()) return;
    if (stream.headersSent) {
      stream.close(constants.NGHTTP2_CANCEL);
      return;
    }
    stream.respond(
      {
        ":status": constants.HTTP_STATUS_OK,
        "content-type": grpcContentType,
        "grpc-status": code,
        "grpc-message": encodeURIComponent(details),
      },
      { endStream: true },
    );
  }
}
