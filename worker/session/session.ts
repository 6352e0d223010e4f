/**
 * A worker's membership in a run, from Join to the end of its Attend stream: directives come in, reports go out,
 * heartbeats keep the lease. The end of the stream is the end of the membership.
 */
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { status } from "@grpc/grpc-js";
import { signalWithin } from "../../foundation/abortable.ts";
import {
  AttendRequestSchema,
  HeartbeatSchema,
  WriteStateRequestSchema,
  type AttendRequest,
  type AttendResponse,
  type ReadMicrobatchesRequest,
  type ReadMicrobatchesResponse,
  type StateChunk,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { directiveQueueMax, heartbeatMs, reportTextMax } from "../../proto/limits.ts";
import type { AttendCall, CoordinatorClient, Fields } from "./coordinator-client.ts";
import { DirectiveQueue, Interrupted, SessionLost } from "./directive-queue.ts";
import { grpcFailure, type Membership } from "./join.ts";

/** What a worker says, as a tagged union. */
export type Report = Exclude<AttendRequest["report"], { case: undefined }>;

/** What heartbeats tell. */
export interface Pulse {
  /** What the worker is doing, one word. */
  readonly state: string;
  readonly generation: bigint;
  readonly residentBytes: number;
}

/** How long the last reports may take to go out when the session is closed, in milliseconds. */
const farewellMs = 2_000;

/** One worker's session. */
export class Session {
  readonly membership: Membership;
  readonly directives = new DirectiveQueue(directiveQueueMax);
  readonly #client: CoordinatorClient;
  readonly #call: AttendCall;
  readonly #pulse: () => Pulse;
  readonly #heartbeat: NodeJS.Timeout;
  readonly #over = new AbortController();

  /** Opens the Attend stream. @param pulse asked at every heartbeat and report */
  constructor(client: CoordinatorClient, membership: Membership, pulse: () => Pulse) {
    this.#client = client;
    this.membership = membership;
    this.#pulse = pulse;
    this.#call = client.attend(membership.identity);
    this.#call.on("data", (message: AttendResponse) => this.#receive(message));
    this.#call.on("error", (error) => this.#lose(grpcFailure(error).details));
    this.#call.on("end", () => this.#lose("the coordinator has ended it"));
    this.#heartbeat = setInterval(() => this.#beat(), heartbeatMs);
    this.#beat();
  }

  /** Sends a report; resolves when the stream takes the next one. Rejects with SessionLost. */
  async report(report: Report): Promise<void> {
    this.#over.signal.throwIfAborted();
    const { generation } = this.#pulse();
    if (this.#call.write(create(AttendRequestSchema, { generation, report }))) return;
    try {
      await once(this.#call, "drain", { signal: this.#over.signal });
    } catch (error) {
      this.#over.signal.throwIfAborted();
      throw error;
    }
  }

  /** The state to start from, piece by piece. */
  async *readState(generation: bigint, signal: AbortSignal): AsyncGenerator<StateChunk> {
    const { identity } = this.membership;
    for await (const { chunk } of this.#client.readState(identity, generation, signal)) {
      if (chunk !== undefined) yield chunk;
    }
  }

  /** Uploads the state of a checkpoint; gives whether all of it was taken: what was lent may be out of the coordinator's reach. */
  async writeState(
    checkpoint: bigint,
    chunks: Iterable<StateChunk>,
    signal: AbortSignal,
  ): Promise<boolean> {
    const requests = requestsOf(checkpoint, chunks);
    const { identity } = this.membership;
    const { unread } = await this.#client.writeState(identity, requests, signal);
    return !unread;
  }

  /**
   * The microbatches dealt to this worker. Fails with Interrupted when the coordinator has formed another ring since: the
   * directive that says so is on its way.
   */
  async *readMicrobatches(
    request: Fields<ReadMicrobatchesRequest>,
    signal: AbortSignal,
  ): AsyncGenerator<ReadMicrobatchesResponse> {
    try {
      yield* this.#client.readMicrobatches(this.membership.identity, request, signal);
    } catch (error) {
      const { code, details } = grpcFailure(error);
      throw code === status.FAILED_PRECONDITION ? new Interrupted(details) : error;
    }
  }

  /** Leaves: sends what is waiting, ends the stream, closes the connection. */
  async close(): Promise<void> {
    clearInterval(this.#heartbeat);
    if (!this.#over.signal.aborted) {
      this.#call.end();
      const waited = signalWithin(this.#over.signal, farewellMs);
      if (!waited.aborted) await once(waited, "abort");
    }
    this.#call.cancel();
    this.#client.close();
  }

  #receive(message: AttendResponse): void {
    const isOurs = message.run === this.membership.identity.run;
    if (isOurs && message.directive.case !== undefined) this.directives.push(message.directive);
  }

  #beat(): void {
    // A report that waits to be sent keeps the lease as well.
    if (this.#over.signal.aborted || this.#call.writableNeedDrain) return;
    const { state, generation, residentBytes } = this.#pulse();
    const value = create(HeartbeatSchema, {
      state: state.slice(0, reportTextMax),
      residentBytes: BigInt(residentBytes),
    });
    this.#call.write(
      create(AttendRequestSchema, { generation, report: { case: "heartbeat", value } }),
    );
  }

  #lose(why: string): void {
    clearInterval(this.#heartbeat);
    const lost = new SessionLost(`The session with the coordinator is over: ${why}`);
    this.directives.fail(lost);
    this.#over.abort(lost);
  }
}

function* requestsOf(checkpoint: bigint, chunks: Iterable<StateChunk>) {
  for (const chunk of chunks) yield create(WriteStateRequestSchema, { checkpoint, chunk });
}
