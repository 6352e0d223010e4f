/**
 * Serves RingService: lets the right neighbour of the current generation pull, once it has proved its membership. A pull
 * may come before this worker has formed its own side of the ring; it then waits for it.
 */
import {
  Metadata,
  Server,
  ServerCredentials,
  status,
  type ServerDuplexStream,
} from "@grpc/grpc-js";
import { metadataNames, verifyRingProof } from "../../proto/auth.ts";
import type { PullRequest, PullResponse } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { ringServiceDefinition, serverOptions } from "../../proto/service.ts";

/** Pulls that may wait for their generation. */
const waitingMax = 16;
/** How long a pull waits for its generation, in milliseconds. */
const waitMsMax = 60_000;

/** How long closing waits for neighbours to take what was sent, in milliseconds. */
const closeMsMax = 1_000;

/** The open stream to the right neighbour. */
export type PullCall = ServerDuplexStream<PullRequest, PullResponse>;

/** Whom a generation lets pull, and what to do with the stream. */
export interface PullExpectation {
  readonly run: string;
  readonly generation: bigint;
  readonly ringKey: Uint8Array;
  /** Worker id of the right neighbour. */
  readonly puller: string;
  attach(call: PullCall, opening: PullRequest): void;
}

/** A worker's ring service; one for its whole life, over all generations. */
export interface RingServer {
  /** host:port to announce. */
  readonly address: string;
  /** Lets the right neighbour of a generation in; replaces what was expected before. */
  expect(expectation: PullExpectation): void;
  close(): Promise<void>;
}

interface WaitingPull {
  readonly call: PullCall;
  readonly opening: PullRequest;
  readonly timer: NodeJS.Timeout;
}

function refuse(call: PullCall, code: status, details: string): void {
  call.emit("error", { code, details, metadata: new Metadata() });
}

function firstOf(metadata: Metadata, name: string): string {
  return String(metadata.get(name)[0] ?? "");
}

function admit(expectation: PullExpectation, { call, opening }: WaitingPull): void {
  const workerId = firstOf(call.metadata, metadataNames.worker);
  const proof = firstOf(call.metadata, metadataNames.proof);
  const claim = { workerId, generation: opening.generation, lane: opening.lane };
  if (!verifyRingProof(expectation.ringKey, claim, proof) || opening.run !== expectation.run) {
    refuse(call, status.UNAUTHENTICATED, "ring proof is not valid");
  } else if (workerId !== expectation.puller) {
    refuse(call, status.PERMISSION_DENIED, `${workerId} is not the right neighbour`);
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

  arrive(call: PullCall, opening: PullRequest): void {
    if (this.#waiting.size >= waitingMax) {
      refuse(call, status.RESOURCE_EXHAUSTED, `more than ${waitingMax} pulls wait`);
      return;
    }
    const giveUp = (): void => {
      this.#waiting.delete(waiting);
      refuse(
        call,
        status.FAILED_PRECONDITION,
        `generation ${opening.generation} has not begun here`,
      );
    };
    const waiting: WaitingPull = { call, opening, timer: setTimeout(giveUp, waitMsMax) };
    waiting.timer.unref();
    this.#waiting.add(waiting);
    call.once("cancelled", () => {
      clearTimeout(waiting.timer);
      this.#waiting.delete(waiting);
    });
    this.#settle(waiting);
  }

  #settle(waiting: WaitingPull): void {
    const expected = this.#expected;
    if (expected === null || waiting.opening.generation > expected.generation) return;
    clearTimeout(waiting.timer);
    this.#waiting.delete(waiting);
    if (waiting.opening.generation < expected.generation) {
      refuse(waiting.call, status.ABORTED, `generation ${waiting.opening.generation} is over`);
    } else {
      admit(expected, waiting);
    }
  }
}

/**
 * Starts serving.
 * @param options.listenHost interface to listen on; a free port is taken unless `listenPort` is given
 * @param options.advertiseHost host under which neighbours reach it
 * @param options.credentials server credentials; plain text by default
 */
export async function startRingServer(options: {
  readonly listenHost: string;
  readonly advertiseHost: string;
  readonly listenPort?: number;
  readonly credentials?: ServerCredentials;
}): Promise<RingServer> {
  const server = new Server(serverOptions);
  const door = new Doorkeeper();
  server.addService(ringServiceDefinition, {
    pull(call: PullCall) {
      // A neighbour that is gone is the link's to notice; without a listener it would end the process.
      call.on("error", () => undefined);
      call.once("data", (opening: PullRequest) => door.arrive(call, opening));
    },
  });
  const credentials = options.credentials ?? ServerCredentials.createInsecure();
  const port = await new Promise<number>((resolve, reject) => {
    const place = `${options.listenHost}:${options.listenPort ?? 0}`;
    server.bindAsync(place, credentials, (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  return {
    address: `${options.advertiseHost}:${port}`,
    expect: (expectation) => door.expect(expectation),
    close: () =>
      new Promise((resolve) => {
        // What was sent last may still be on its way to a neighbour that is a little behind.
        const force = setTimeout(() => server.forceShutdown(), closeMsMax);
        server.tryShutdown(() => {
          clearTimeout(force);
          resolve();
        });
      }),
  };
}
