/**
 * CoordinatorService over grpc-js: a thin shell. It checks credentials, turns handlers that are async iterables into
 * streams with back-pressure, and errors into canonical codes. What is decided, is decided elsewhere.
 */
import { Server, ServerCredentials, status } from "@grpc/grpc-js";
import type {
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedHandleCall,
  sendUnaryData,
} from "@grpc/grpc-js";
import { create } from "@bufbuild/protobuf";
import { BadInput } from "../../foundation/bad-input.ts";
import {
  ChallengeResponseSchema,
  ReadStateResponseSchema,
  WriteStateResponseSchema,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type {
  AttendRequest,
  AttendResponse,
  ChallengeRequest,
  ChallengeResponse,
  JoinRequest,
  JoinResponse,
  ReadMicrobatchesRequest,
  ReadMicrobatchesResponse,
  ReadStateRequest,
  ReadStateResponse,
  StateChunk,
  WriteStateRequest,
  WriteStateResponse,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { coordinatorServiceDefinition, serverOptions } from "../../proto/service.ts";
import { CallError, signalOf, statusOf, writeAll } from "./call-stream.ts";
import type { Member } from "./membership.ts";
import type { Roster } from "./roster.ts";

/** What the run serves to its workers besides directives. */
export interface RunSource {
  /** The state to start from. */
  readState(member: Member): Iterable<StateChunk>;
  /** The microbatches dealt to a member. Ends with the last one; stops early when the signal is aborted. */
  readMicrobatches(
    member: Member,
    request: ReadMicrobatchesRequest,
    signal: AbortSignal,
  ): AsyncIterable<ReadMicrobatchesResponse>;
  /** Stores an uploaded state; gives the bytes that arrived, and whether it was lent and has to come again. */
  writeState(
    member: Member,
    requests: AsyncIterable<WriteStateRequest>,
  ): Promise<{ readonly bytes: number; readonly unread: boolean }>;
}

/** A serving coordinator. */
export interface CoordinatorServer {
  /** host:port at which it really listens. */
  readonly address: string;
  /** Ends all calls and frees the port. */
  close(): Promise<void>;
}

const leaseCheckMs = 1_000;

/** Starts to serve. Throws BadInput when the address cannot be listened at. */
export async function startCoordinatorServer(options: {
  readonly run: string;
  /** host:port; port 0 takes a free one. */
  readonly listen: string;
  readonly roster: Roster;
  readonly source: RunSource;
  /** Whom to take, and what to show them; null serves in plain text. */
  readonly tls: TlsIdentity | null;
}): Promise<CoordinatorServer> {
  const server = new Server(serverOptions);
  server.addService(coordinatorServiceDefinition, { ...handlersOf(options) });
  const port = await bind(server, options);
  const leases = setInterval(() => options.roster.checkLeases(), leaseCheckMs);
  leases.unref();
  const host = options.listen.slice(0, options.listen.lastIndexOf(":"));
  return {
    address: `${host}:${port}`,
    close: () => {
      clearInterval(leases);
      server.forceShutdown();
      return Promise.resolve();
    },
  };
}

function credentialsOf(tls: TlsIdentity | null): ServerCredentials {
  if (tls === null) return ServerCredentials.createInsecure();
  const pair = { cert_chain: tls.cert, private_key: tls.key };
  return ServerCredentials.createSsl(tls.ca, [pair], true);
}

function bind(
  server: Server,
  { listen, tls }: { readonly listen: string; readonly tls: TlsIdentity | null },
): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(listen, credentialsOf(tls), (error, port) => {
      if (error === null) {
        resolve(port);
        return;
      }
      const taken = /EADDRINUSE|address already in use/iu.test(error.message);
      reject(
        new BadInput({
          flag: "--listen",
          expected: taken ? "a free port" : "an address of this machine",
          found: `${listen}${taken ? ", which another program listens at" : ""}`,
          remedy: "port 0 takes any free one",
        }),
      );
    });
  });
}

function handlersOf(options: {
  readonly run: string;
  readonly roster: Roster;
  readonly source: RunSource;
}): Record<keyof typeof coordinatorServiceDefinition, UntypedHandleCall> {
  const { roster, source } = options;
  return {
    challenge: unary((call: ServerUnaryCall<ChallengeRequest, ChallengeResponse>) =>
      create(ChallengeResponseSchema, {
        run: options.run,
        nonce: roster.challenge(call.request.run),
      }),
    ),
    join: unary((call: ServerUnaryCall<JoinRequest, JoinResponse>) => roster.join(call.request)),
    attend: (call: ServerDuplexStream<AttendRequest, AttendResponse>) => {
      run(call, async () => {
        await roster.attend(roster.identify(call.metadata), call);
        call.end();
      });
    },
    readState: (call: ServerWritableStream<ReadStateRequest, ReadStateResponse>) => {
      serve(call, roster, (member) => responsesOf(source.readState(member)));
    },
    readMicrobatches: (
      call: ServerWritableStream<ReadMicrobatchesRequest, ReadMicrobatchesResponse>,
    ) => {
      serve(call, roster, (member, signal) =>
        source.readMicrobatches(member, call.request, signal),
      );
    },
    writeState: (
      call: ServerReadableStream<WriteStateRequest, WriteStateResponse>,
      respond: sendUnaryData<WriteStateResponse>,
    ) => {
      receive(call, roster, source).then(
        ({ bytes, unread }) =>
          respond(null, create(WriteStateResponseSchema, { bytes: BigInt(bytes), unread })),
        (error: unknown) => respond(statusOf(error), null),
      );
    },
  };
}

function* responsesOf(chunks: Iterable<StateChunk>): Generator<ReadStateResponse> {
  for (const chunk of chunks) yield create(ReadStateResponseSchema, { chunk });
}

function unary<Request, Response>(
  handle: (call: ServerUnaryCall<Request, Response>) => Response,
): UntypedHandleCall {
  return (call: ServerUnaryCall<Request, Response>, respond: sendUnaryData<Response>) => {
    try {
      respond(null, handle(call));
    } catch (error) {
      respond(statusOf(error), null);
    }
  };
}

function run(call: ServerDuplexStream<AttendRequest, AttendResponse>, work: () => Promise<void>) {
  work().catch((error: unknown) => {
    call.emit("error", statusOf(error));
  });
}

/** Streams a source to a member; a failure that is not the member's own doing is the run's business too. */
function serve<Request, Response>(
  call: ServerWritableStream<Request, Response>,
  roster: Roster,
  sourceOf: (member: Member, signal: AbortSignal) => AsyncIterable<Response> | Iterable<Response>,
): void {
  const signal = signalOf(call);
  const work = async (): Promise<void> => {
    const member = roster.identify(call.metadata);
    try {
      await writeAll(call, sourceOf(member, signal), signal);
      call.end();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof CallError)) roster.fault(member, error);
      throw error;
    }
  };
  work().catch((error: unknown) => {
    call.emit("error", statusOf(error));
  });
}

async function receive(
  call: ServerReadableStream<WriteStateRequest, WriteStateResponse>,
  roster: Roster,
  source: RunSource,
): ReturnType<RunSource["writeState"]> {
  const member = roster.identify(call.metadata);
  try {
    return await source.writeState(member, call as AsyncIterable<WriteStateRequest>);
  } catch (error) {
    if (call.cancelled) throw new CallError(status.CANCELLED, "the call is over");
    roster.fault(member, error);
    throw error;
  }
}
