/**
 * Serves RingService: lets the right neighbour of the current generation pull, once it has proved its membership. A pull
 * may come before this worker has formed its own side of the ring; it then waits for it.
 */
import type { ServerHttp2Session } from "node:http2";
import { createServer as createPlain, type Server, type Socket } from "node:net";
import { createServer as createSecure } from "node:tls";
import { status } from "@grpc/grpc-js";
import { z } from "zod";
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { metadataNames, verifyRingProof } from "../../proto/auth.ts";
import type { PullRequest } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { LanePool } from "./lane-pool.ts";
import type { Lanes } from "./link-options.ts";
import { pullPath, ringTlsVersion } from "./ring-http2.ts";
import { serveConnection } from "./served-connection.ts";
import { ServedPull } from "./served-pull.ts";

/** Pulls that may wait for their generation. */
const waitingMax = 16;
/** How long a pull waits for its generation, in milliseconds. */
const waitMsMax = 60_000;

/** How long closing waits for neighbours to take what was sent, in milliseconds. */
const closeMsMax = 1_000;

/** Whom a generation lets pull, and what to do with the stream. */
export interface PullExpectation {
  readonly run: string;
  readonly generation: bigint;
  readonly ringKey: Uint8Array;
  /** Which lane this is, from 1; 0 for the stream that all chunks are announced on. */
  readonly lane: number;
  /** Worker id of the right neighbour. */
  readonly puller: string;
  attach(call: ServedPull, opening: PullRequest): void;
}

/** A worker's ring service; one for its whole life, over all generations. */
export interface RingServer {
  /** host:port to announce. */
  readonly address: string;
  /** Whom it takes, and what it shows them; null in plain text. Neighbours are dialled with the same. */
  readonly tls: TlsIdentity | null;
  /** Lets the right neighbour of a generation in; replaces what was expected before. */
  expect(expectation: PullExpectation): void;
  /** What payloads between hosts are spread over. */
  readonly lanes: Lanes;
  close(): Promise<void>;
}

interface WaitingPull {
  readonly call: ServedPull;
  readonly opening: PullRequest;
  readonly timer: NodeJS.Timeout;
}

function admit(expectation: PullExpectation, { call, opening }: WaitingPull): void {
  const workerId = call.metadata(metadataNames.worker);
  const proof = call.metadata(metadataNames.proof);
  const claim = { workerId, generation: opening.generation, lane: opening.lane };
  if (!verifyRingProof(expectation.ringKey, claim, proof) || opening.run !== expectation.run) {
    call.refuse(status.UNAUTHENTICATED, "ring proof is not valid");
  } else if (opening.lane !== expectation.lane) {
    call.refuse(status.PERMISSION_DENIED, `lane ${opening.lane} is not served here`);
  } else if (workerId !== expectation.puller) {
    call.refuse(status.PERMISSION_DENIED, `${workerId} is not the right neighbour`);
  } else {
    expectation.attach(call, opening);
  }
}

/** Holds the current expectation and the pulls that came early. */
class Doorkeeper {
  #expected: PullExpectation | null = null;
  readonly #waiting = new Set<WaitingPull>();

  expect(expectation: PullExpectation): void {
    this.#expected = expectation;
    for (const waiting of this.#waiting) this.#settle(waiting);
  }

  arrive(call: ServedPull, opening: PullRequest): void {
    if (this.#waiting.size >= waitingMax) {
      call.refuse(status.RESOURCE_EXHAUSTED, `more than ${waitingMax} pulls wait`);
      return;
    }
    const giveUp = (): void => {
      this.#waiting.delete(waiting);
      call.refuse(
        status.FAILED_PRECONDITION,
        `generation ${opening.generation} has not begun here`,
      );
    };
    const waiting: WaitingPull = { call, opening, timer: setTimeout(giveUp, waitMsMax) };
    waiting.timer.unref();
    this.#waiting.add(waiting);
    call.listen({
      request: () => undefined,
      lost: () => {
        clearTimeout(waiting.timer);
        this.#waiting.delete(waiting);
      },
    });
    this.#settle(waiting);
  }

  #settle(waiting: WaitingPull): void {
    const expected = this.#expected;
    if (expected === null || waiting.opening.generation > expected.generation) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    if (waiting.opening.generation < expected.generation) {
      waiting.call.refuse(status.ABORTED, `generation ${waiting.opening.generation} is over`);
    } else {
      admit(expected, waiting);
    }
  }
}

function createFor(tls: TlsIdentity | null, serve: (socket: Socket) => void): Server {
  if (tls === null) return createPlain(serve);
  const { cert, key, ca } = tls;
  const server = createSecure({
    cert,
    key,
    ca,
    minVersion: ringTlsVersion,
    requestCert: true,
    rejectUnauthorized: true,
    ALPNProtocols: ["h2"],
  });
  server.on("secureConnection", (socket) => {
    if (socket.alpnProtocol === "h2") serve(socket);
    else socket.destroy();
  });
  // Whoever has no certificate of ours is turned away by the handshake; there is nobody to tell.
  server.on("tlsClientError", () => undefined);
  return server;
}

/** Serves one method; everything else is refused. */
function serve(
  sessions: Set<ServerHttp2Session>,
  door: Doorkeeper,
  tls: TlsIdentity | null,
): Server {
  return createFor(tls, (socket) => {
    const connection = serveConnection(socket);
    const { session } = connection;
    sessions.add(session);
    // What is lost with a session is its streams' to notice; without a listener it would end the process.
    session.on("error", () => undefined);
    session.once("close", () => sessions.delete(session));
    session.on("stream", (stream, headers) => {
      const call: ServedPull = new ServedPull(stream, headers, connection, {
        request: (opening) => door.arrive(call, opening),
        lost: () => undefined,
      });
      if (headers[":path"] !== pullPath) {
        call.refuse(status.NOT_FOUND, `there is no ${String(headers[":path"])}`);
      }
    });
  });
}

/**
 * Starts serving.
 * @param options.listenHost interface to listen on; a free port is taken unless `listenPort` is given
 * @param options.advertiseHost host under which neighbours reach it
 * @param options.tls whom to take, and what to show them; null serves in plain text
 * @param options.lanes threads that payloads between hosts are spread over, each with connections of its own; 0 by default
 */
export async function startRingServer(options: {
  readonly listenHost: string;
  readonly advertiseHost: string;
  readonly listenPort?: number;
  readonly tls: TlsIdentity | null;
  readonly lanes?: number;
  /** Hears why no lanes are used any more, though there are some. */
  readonly onLanesGivenUp?: (reason: string) => void;
}): Promise<RingServer> {
  const door = new Doorkeeper();
  const sessions = new Set<ServerHttp2Session>();
  const server = serve(sessions, door, options.tls);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.listenPort ?? 0, options.listenHost, resolve);
  });
  const bound = z.object({ port: z.number() }).parse(server.address());
  const { listenHost, advertiseHost, tls } = options;
  const lanes = new LanePool({
    listenHost,
    advertiseHost,
    tls,
    count: options.lanes ?? 0,
    onGivenUp: options.onLanesGivenUp ?? (() => undefined),
  });
  return {
    address: `${options.advertiseHost}:${bound.port}`,
    tls: options.tls,
    expect: (expectation) => door.expect(expectation),
    lanes,
    close: async () => {
      await Promise.all([lanes.close(), closeServer(server, sessions)]);
    },
  };
}

/** Ends a server. What was sent last may still be on its way to a neighbour that is a little behind. */
function closeServer(server: Server, sessions: ReadonlySet<ServerHttp2Session>): Promise<void> {
  return new Promise((resolve) => {
    const force = setTimeout(() => {
      for (const session of sessions) session.destroy();
    }, closeMsMax);
    for (const session of sessions) session.close();
    server.close(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
