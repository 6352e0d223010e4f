/**
 * The opening end of a pull: a gRPC call over a connection of its own, with a wide window. While the neighbour cannot be
 * reached it is tried again; once connected, whatever ends the call is final.
 */
import { connect, constants, type ClientHttp2Session, type ClientHttp2Stream } from "node:http2";
import type { IncomingHttpHeaders, IncomingHttpStatusHeader } from "node:http2";
import { clearTimeout, setTimeout } from "node:timers";
import { toBinary } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { anyName, tlsFailure, type TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { PullRequestSchema, type PullRequest } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { receiveWindowBytes } from "../../proto/limits.ts";
import { framePrefix, FrameReader, type FrameReaderOptions } from "./grpc-frames.ts";
import {
  grpcContentType,
  keepAlive,
  pullPath,
  ringTlsVersion,
  sessionMemoryMax,
} from "./ring-http2.ts";

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

function secured({ cert, key, ca }: TlsIdentity) {
  return { cert, key, ca, minVersion: ringTlsVersion, checkServerIdentity: anyName } as const;
}

/** One pull, from the side that pulls. */
export class OpenedPull {
  readonly #options: PullOptions;
  #session: ClientHttp2Session | null = null;
  #stream: ClientHttp2Stream | null = null;
  #retry: NodeJS.Timeout | null = null;
  #over = false;

  constructor(options: PullOptions) {
    this.#options = options;
    this.#connect();
  }

  #connect(): void {
    const { address, tls } = this.#options;
    const settings = { initialWindowSize: receiveWindowBytes };
    const session = connect(`${tls === null ? "http" : "https"}://${address}`, {
      settings,
      maxSessionMemory: sessionMemoryMax,
      ...(tls === null ? {} : secured(tls)),
    });
    this.#session = session;
    let failed = "it cannot be reached";
    session.on("error", (error: Error) => (failed = error.message));
    session.once("connect", () => {
      session.setLocalWindowSize(receiveWindowBytes);
      keepAlive(session);
      this.#open(session, () => failed);
    });
    session.once("close", () => {
      const refused = tlsFailure(failed);
      if (this.#stream !== null || refused !== null) this.#lose(refused ?? failed);
      else if (!this.#over) this.#retry = setTimeout(() => this.#connect(), reconnectMs);
    });
  }

  #open(session: ClientHttp2Session, failure: () => string): void {
    const { metadata, opening, frames } = this.#options;
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
    const reader = new FrameReader(frames);
    stream.on("data", (piece: Buffer) => {
      if (this.#over) return;
      try {
        reader.read(piece);
      } catch (error) {
        this.#lose(String(error));
      }
    });
    // Comes after all that was sent before it has been read, trailers do not.
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

  /** Lets nothing further come, except what has been read from the connection already. */
  pause(): void {
    this.#stream?.pause();
  }

  resume(): void {
    this.#stream?.resume();
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
  }
}
