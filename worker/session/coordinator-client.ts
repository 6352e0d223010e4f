/**
 * CoordinatorService as a worker calls it: promises, async iterables and abort signals over grpc-js. It knows the calls
 * and nothing of what they are for.
 */
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import {
  Client,
  credentials,
  Metadata,
  type ChannelCredentials,
  type ClientDuplexStream,
  type MethodDefinition,
  type ServiceError,
} from "@grpc/grpc-js";
import { anyName, type TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { metadataNames } from "../../proto/auth.ts";
import {
  ChallengeRequestSchema,
  JoinRequestSchema,
  ReadMicrobatchesRequestSchema,
  ReadStateRequestSchema,
  type AttendRequest,
  type AttendResponse,
  type ChallengeResponse,
  type JoinRequest,
  type JoinResponse,
  type ReadMicrobatchesRequest,
  type ReadMicrobatchesResponse,
  type ReadStateResponse,
  type WriteStateRequest,
  type WriteStateResponse,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { unaryDeadlineMs } from "../../proto/limits.ts";
import { clientOptions, coordinatorServiceDefinition as service } from "../../proto/service.ts";

/** What a Join yields and every later call carries. */
export interface Identity {
  readonly run: string;
  readonly workerId: string;
  readonly incarnation: bigint;
  readonly credential: string;
}

/** A request without its protobuf bookkeeping. */
export type Fields<Message> = Omit<Message, "$typeName" | "$unknown">;

/** The open stream of a worker's life. */
export type AttendCall = ClientDuplexStream<AttendRequest, AttendResponse>;

function credentialsOf(tls: TlsIdentity | null): ChannelCredentials {
  if (tls === null) return credentials.createInsecure();
  return credentials.createSsl(tls.ca, tls.key, tls.cert, { checkServerIdentity: anyName });
}

/** The calls, on one connection. */
export class CoordinatorClient {
  readonly #client: Client;

  /** @param address host:port @param tls whom to take and what to show; null for plain text */
  constructor(address: string, tls: TlsIdentity | null) {
    // Any name but an address, which TLS does not allow: none is looked at.
    const named = { ...clientOptions, "grpc.ssl_target_name_override": "ringmaster" };
    this.#client = new Client(address, credentialsOf(tls), tls === null ? clientOptions : named);
  }

  /** Asks for a nonce. */
  challenge(run: string, signal: AbortSignal): Promise<ChallengeResponse> {
    return this.#unary(service.challenge, create(ChallengeRequestSchema, { run }), signal);
  }

  /** Answers a nonce. */
  join(request: Fields<JoinRequest>, signal: AbortSignal): Promise<JoinResponse> {
    return this.#unary(service.join, create(JoinRequestSchema, request), signal);
  }

  /** Opens the stream of reports and directives. */
  attend(identity: Identity): AttendCall {
    const { path, requestSerialize, responseDeserialize } = service.attend;
    const metadata = metadataOf(identity);
    return this.#client.makeBidiStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadata,
    );
  }

  /** Streams the state to start from. */
  readState(
    identity: Identity,
    generation: bigint,
    signal: AbortSignal,
  ): AsyncIterable<ReadStateResponse> {
    const request = create(ReadStateRequestSchema, { generation });
    return this.#serverStream(service.readState, request, { identity, signal });
  }

  /** Streams the microbatches dealt to this worker. */
  readMicrobatches(
    identity: Identity,
    request: Fields<ReadMicrobatchesRequest>,
    signal: AbortSignal,
  ): AsyncIterable<ReadMicrobatchesResponse> {
    const message = create(ReadMicrobatchesRequestSchema, request);
    return this.#serverStream(service.readMicrobatches, message, { identity, signal });
  }

  /** Uploads a state, as fast as the coordinator takes it. */
  async writeState(
    identity: Identity,
    requests: Iterable<WriteStateRequest>,
    signal: AbortSignal,
  ): Promise<WriteStateResponse> {
    signal.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = service.writeState;
    const over = new AbortController();
    let settle: (error: ServiceError | null, response?: WriteStateResponse) => void = () =>
      undefined;
    const answer = new Promise<WriteStateResponse>((resolve, reject) => {
      settle = (error, response) => {
        if (response === undefined)
          reject(error ?? new Error("WriteState ended without an answer"));
        else resolve(response);
      };
    });
    const call = this.#client.makeClientStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      metadataOf(identity),
      (error: ServiceError | null, response?: WriteStateResponse) => {
        settle(error, response);
        over.abort();
      },
    );
    const release = cancelOnAbort(call, signal);
    try {
      for (const request of requests) {
        if (over.signal.aborted) break;
        if (!call.write(request)) await drained(call, over.signal);
      }
      call.end();
      return await answer;
    } finally {
      release();
    }
  }

  /** Ends all calls. */
  close(): void {
    this.#client.close();
  }

  #unary<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    signal: AbortSignal,
  ): Promise<Response> {
    signal.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = method;
    return new Promise<Response>((resolve, reject) => {
      const call = this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        new Metadata(),
        { deadline: deadlineAfter(unaryDeadlineMs) },
        (error, response) => {
          release();
          if (response === undefined) reject(error ?? new Error(`${path} gave no answer`));
          else resolve(response);
        },
      );
      const release = cancelOnAbort(call, signal);
    });
  }

  async *#serverStream<Request, Response>(
    method: MethodDefinition<Request, Response>,
    request: Request,
    options: { readonly identity: Identity; readonly signal: AbortSignal },
  ): AsyncGenerator<Response> {
    options.signal.throwIfAborted();
    const { path, requestSerialize, responseDeserialize } = method;
    const call = this.#client.makeServerStreamRequest(
      path,
      requestSerialize,
      responseDeserialize,
      request,
      metadataOf(options.identity),
    );
    const release = cancelOnAbort(call, options.signal);
    try {
      for await (const message of call) yield message as Response;
    } finally {
      release();
      call.cancel();
    }
  }
}

function metadataOf(identity: Identity): Metadata {
  const metadata = new Metadata();
  metadata.set(metadataNames.worker, identity.workerId);
  metadata.set(metadataNames.incarnation, String(identity.incarnation));
  metadata.set(metadataNames.credential, identity.credential);
  return metadata;
}

function deadlineAfter(milliseconds: number): Date {
  return new Date(performance.timeOrigin + performance.now() + milliseconds);
}

function cancelOnAbort(call: { cancel(): void }, signal: AbortSignal): () => void {
  const cancel = (): void => call.cancel();
  signal.addEventListener("abort", cancel, { once: true });
  return () => signal.removeEventListener("abort", cancel);
}

/** Waits until the stream takes more, or the call is over (its answer then tells why). */
async function drained(call: NodeJS.EventEmitter, over: AbortSignal): Promise<void> {
  try {
    await once(call, "drain", { signal: over });
  } catch (error) {
    if (!over.aborted) throw error;
  }
}
