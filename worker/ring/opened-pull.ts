/**
 * The opening end of a pull: a gRPC call over a connection of its own, with a wide window. While the neighbour cannot be
 * reached it is tried again; once connected, whatever ends the call is final.
 */
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { clearTimeout, setTimeout } from "node:timers";
import { toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { tlsFailure, type TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { PullRequestSchema, type PullRequest } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { receiveWindowBytes } from "../../proto/limits.ts";
import { framePrefix, FrameReader, prefixBytes, type FrameReaderOptions } from "./grpc-frames.ts";
import { PullConnection } from "./pull-connection.ts";
import { grpcContentType, keepAlive, pullPath, sessionMemoryMax } from "./ring-http2.ts";

/** Pause before the neighbour is tried again, in milliseconds. */
const reconnectMs = 500;

/** Where to pull, what to say first, and who hears of what comes. */
export interface PullOptions {
  /** host:port of the neighbour's ring service. */
  readonly address: string;
  /** Whom to take there, and what to show; null for plain text. */
  readonly tls: TlsIdentity | null;
  readonly metadata: Readonly<Record<string, string>>;
  readonly opening: PullRequest;
  readonly frames: FrameReaderOptions;
  /** The neighbour has let us in. */
  accepted(): void;
  /** The call has ended, and why; heard once, and not after `cancel`. */
  lost(why: string): void;
}

/** gRPC's percent-encoding of messages undone; a text that is not encoded so stays as it is. */
function decodeMessage(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

function statusOf(headers: IncomingHttpHeaders): string | null {
  const code = Number(headers["grpc-status"] ?? Number.NaN);
  if (Number.isNaN(code)) return null;
  const message = headers["grpc-message"];
  const details = typeof message === "string" ? decodeMessage(message) : "";
  return code === status.OK
    ? "its stream has ended"
    : `${code} ${status[code] ?? "UNKNOWN"}: ${details}`;
}

/** Longest DATA frame that is taken: a whole message, and what HTTP/2 has everybody take. */
function frameBytesMaxOf({ bytesMax }: FrameReaderOptions): number {
  return Math.max(16_384, prefixBytes + bytesMax);
}

/** A stream that others than node read and write from now on. */
export interface HandedOver {
  /** Of the socket; node closes it. */
  readonly descriptor: number;
  readonly streamId: number;
}

/** One pull, from the side that pulls. */
export class OpenedPull {
  readonly #options: PullOptions;
  #connection: PullConnection | null = null;
  #session: ClientHttp2Session | null = null;
  #stream: ClientHttp2Stream | null = null;
  #retry: NodeJS.Timeout | null = null;
  #over = false;
  #endPings: () => void = () => undefined;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#connect();
  }

  #connect(): void {
    const { address, tls, frames } = this.#options;
    let failed = "it cannot be reached";
    const fail = (why: string): void => {
      failed = why;
    };
    const over = (): void => {
      const refused = tlsFailure(failed);
      if (this.#session !== null || refused !== null) this.#lose(refused ?? failed);
      else if (!this.#over) this.#retry = setTimeout(() => this.#connect(), reconnectMs);
    };
    const connection = new PullConnection({
      address,
      tls,
      frameBytesMax: frameBytesMaxOf(frames),
      reader: new FrameReader(frames),
      connected: () => {
        // Told a tick after the socket has connected: the pull may be over by then.
        if (!this.#over) this.#begin(connection, { over, failure: () => failed, failed: fail });
      },
      failed: (error) => fail(error.message),
      senseless: (error) => this.#lose(String(error)),
      closed: () => {
        if (this.#session === null) over();
      },
    });
    this.#connection = connection;
  }

  #begin(
    connection: PullConnection,
    ends: { readonly over: () => void; readonly failure: () => string; failed(why: string): void },
  ): void {
    const { address, frames } = this.#options;
    const session = connect(`http://${address}`, {
      createConnection: () => connection.control,
      settings: {
        initialWindowSize: receiveWindowBytes,
        maxFrameSize: frameBytesMaxOf(frames),
      },
      maxSessionMemory: sessionMemoryMax,
    });
    this.#session = session;
    session.on("error", (error: Error) => ends.failed(error.message));
    session.once("close", ends.over);
    session.once("connect", () => {
      // A neighbour that leaves may have said so already.
      if (session.destroyed || session.closed) return;
      session.setLocalWindowSize(receiveWindowBytes);
      this.#endPings = keepAlive(session);
      this.#open(session, ends.failure);
    });
  }

  #open(session: ClientHttp2Session, failure: () => string): void {
    const { metadata, opening } = this.#options;
    const stream = session.request(
      {
        ":method": "POST",
        ":path": pullPath,
        "content-type": grpcContentType,
        te: "trailers",
        ...metadata,
      },
      { endStream: false },
    );
    this.#stream = stream;
    stream.on("response", (headers) => this.#answered(headers));
    let end = "its stream has ended";
    stream.on("trailers", (trailers: IncomingHttpHeaders) => (end = statusOf(trailers) ?? end));
    // Its data never comes this way, its end does.
    stream.resume();
    // Comes after trailers; what was sent before has been read by then.
    stream.on("end", () => this.#lose(end));
    stream.on("error", (error) => this.#lose(error.message));
    stream.on("close", () => this.#lose(failure()));
    this.write(opening);
  }

  #answered(headers: IncomingHttpHeaders & IncomingHttpStatusHeader): void {
    const refusal = statusOf(headers);
    if (refusal !== null) this.#lose(refusal);
    else if (headers[":status"] === constants.HTTP_STATUS_OK) this.#options.accepted();
    else this.#lose(`HTTP status ${headers[":status"]}`);
  }

  /** Sends a request. */
  write(request: PullRequest): void {
    const bytes = toBinary(PullRequestSchema, request);
    const stream = this.#stream;
    if (stream === null || stream.destroyed) return;
    stream.cork();
    stream.write(framePrefix(bytes.byteLength));
    stream.write(bytes);
    stream.uncork();
  }

  /** Lets nothing further come, except what the window has room for. */
  pause(): void {
    this.#connection?.pause();
  }

  resume(): void {
    this.#connection?.resume();
  }

  /** Hands the connection over to who reads its stream from its descriptor from now on; null where that cannot be. */
  handOver(): HandedOver | null {
    const { id } = this.#stream ?? {};
    const descriptor = this.#over ? null : (this.#connection?.handOver() ?? null);
    if (descriptor === null || id === undefined) return null;
    this.#endPings();
    return { descriptor, streamId: id };
  }

  #lose(why: string): void {
    if (this.#over) return;
    this.cancel();
    this.#options.lost(why);
  }

  /** Ends the call and its connection. */
  cancel(): void {
    if (this.#over) return;
    this.#over = true;
    if (this.#retry !== null) clearTimeout(this.#retry);
    this.#stream?.close(constants.NGHTTP2_CANCEL);
    this.#session?.destroy();
    this.#connection?.destroy();
  }
}
