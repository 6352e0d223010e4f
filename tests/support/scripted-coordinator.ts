/** A coordinator that does what a test says: a real gRPC server, real proofs, directives by hand. */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  Server,
  ServerCredentials,
  status,
  type Metadata,
  type ServerDuplexStream,
  type ServerReadableStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type sendUnaryData,
} from "@grpc/grpc-js";
import { metadataNames, verifyProof } from "../../proto/auth.ts";
import {
  ChallengeResponseSchema,
  JoinResponseSchema,
  ReadMicrobatchesResponseSchema,
  ReadStateResponseSchema,
  SampleRecordSchema,
  WriteStateResponseSchema,
  type AttendRequest,
  type AttendResponse,
  type ChallengeRequest,
  type ChallengeResponse,
  type JoinRequest,
  type JoinResponse,
  type ReadMicrobatchesRequest,
  type ReadMicrobatchesResponse,
  type ReadStateRequest,
  type ReadStateResponse,
  type StateChunk,
  type WriteStateRequest,
  type WriteStateResponse,
} from "../../proto/gen/ringmaster/v1/run_pb.ts";
import { coordinatorServiceDefinition, serverOptions } from "../../proto/service.ts";
import { ScriptedWorker } from "./scripted-worker.ts";

/** A microbatch as a script gives it. */
export interface ScriptedMicrobatch {
  readonly step: number;
  readonly microbatch: number;
  readonly samples: readonly MessageInitShape<typeof SampleRecordSchema>[];
}

/** What the script decides. */
export interface Script {
  readonly run: string;
  readonly joinToken: string;
  /** Pieces of the state to start from. */
  readonly state?: () => Iterable<StateChunk>;
  /** What is dealt to a rank. */
  readonly microbatches?: (
    request: ReadMicrobatchesRequest,
    workerId: string,
  ) => Iterable<ScriptedMicrobatch>;
}

/** The server. */
export class ScriptedCoordinator {
  readonly #script: Script;
  readonly #server = new Server(serverOptions);
  readonly #seats = new Map<string, { introduction: JoinRequest; credential: string }>();
  readonly #workers: ScriptedWorker[] = [];
  readonly ringKey = randomBytes(32);
  readonly uploads: WriteStateRequest[] = [];
  readonly reads: ReadMicrobatchesRequest[] = [];
  /** Messages that were written to microbatch streams. */
  microbatchesSent = 0;
  address = "";
  #arrived: () => void = () => undefined;
  #uploaded: () => void = () => undefined;
  uploadsDone = 0;

  private constructor(script: Script) {
    this.#script = script;
  }

  /** Starts to serve. */
  static async start(script: Script, port = 0): Promise<ScriptedCoordinator> {
    const coordinator = new ScriptedCoordinator(script);
    await coordinator.#listen(port);
    return coordinator;
  }

  /** The worker that joins as number `index`. */
  async worker(index: number): Promise<ScriptedWorker> {
    for (;;) {
      const worker = this.#workers[index];
      if (worker !== undefined) return worker;
      await new Promise<void>((resolve) => {
        this.#arrived = resolve;
      });
    }
  }

  /** Resolves when so many uploads are whole. */
  async uploaded(count: number): Promise<void> {
    while (this.uploadsDone < count) {
      await new Promise<void>((resolve) => {
        this.#uploaded = resolve;
      });
    }
  }

  /** Ends all calls. */
  close(): void {
    this.#server.forceShutdown();
  }

  async #listen(port: number): Promise<void> {
    this.#server.addService(coordinatorServiceDefinition, {
      challenge: (
        _call: ServerUnaryCall<ChallengeRequest, ChallengeResponse>,
        respond: sendUnaryData<ChallengeResponse>,
      ) =>
        respond(
          null,
          create(ChallengeResponseSchema, { run: this.#script.run, nonce: randomBytes(32) }),
        ),
      join: (
        call: ServerUnaryCall<JoinRequest, JoinResponse>,
        respond: sendUnaryData<JoinResponse>,
      ) => this.#join(call.request, respond),
      attend: (call: ServerDuplexStream<AttendRequest, AttendResponse>) => {
        const workerId = this.#identify(call);
        if (workerId === null) return;
        const { introduction } = this.#seats.get(workerId)!;
        this.#workers.push(new ScriptedWorker(this.#script.run, workerId, introduction, call));
        this.#arrived();
      },
      readState: (call: ServerWritableStream<ReadStateRequest, ReadStateResponse>) => {
        if (this.#identify(call) !== null) this.#serveState(call).catch(() => undefined);
      },
      writeState: (
        call: ServerReadableStream<WriteStateRequest, WriteStateResponse>,
        respond: sendUnaryData<WriteStateResponse>,
      ) => {
        this.#takeState(call, respond).catch(() => undefined);
      },
      readMicrobatches: (
        call: ServerWritableStream<ReadMicrobatchesRequest, ReadMicrobatchesResponse>,
      ) => {
        this.#serveMicrobatches(call).catch(() => undefined);
      },
    });
    const bound = await new Promise<number>((resolve, reject) => {
      this.#server.bindAsync(
        `127.0.0.1:${port}`,
        ServerCredentials.createInsecure(),
        (error, taken) => {
          if (error === null) resolve(taken);
          else reject(error);
        },
      );
    });
    this.address = `127.0.0.1:${bound}`;
  }

  #join(request: JoinRequest, respond: sendUnaryData<JoinResponse>): void {
    if (!verifyProof(this.#script.joinToken, request, request.proof)) {
      respond({ code: status.UNAUTHENTICATED, details: "the join token is wrong" }, null);
      return;
    }
    const workerId = `worker-${this.#seats.size}`;
    const credential = randomBytes(8).toString("hex");
    this.#seats.set(workerId, { introduction: request, credential });
    respond(
      null,
      create(JoinResponseSchema, {
        workerId,
        incarnation: 1n,
        credential,
        ringKey: this.ringKey,
        leaseMs: 30_000,
        natsUrl: "",
      }),
    );
  }

  #identify(call: {
    readonly metadata: Metadata;
    emit: (name: string, value: unknown) => unknown;
  }) {
    const text = (name: string): string => String(call.metadata.get(name)[0] ?? "");
    const workerId = text(metadataNames.worker);
    const isKnown =
      this.#seats.get(workerId)?.credential === text(metadataNames.credential) &&
      text(metadataNames.incarnation) === "1";
    if (isKnown) return workerId;
    call.emit("error", { code: status.UNAUTHENTICATED, details: "no valid credential" });
    return null;
  }

  async #serveState(call: ServerWritableStream<ReadStateRequest, ReadStateResponse>) {
    for (const chunk of this.#script.state?.() ?? []) {
      if (!call.write(create(ReadStateResponseSchema, { chunk }))) await once(call, "drain");
    }
    call.end();
  }

  async #takeState(
    call: ServerReadableStream<WriteStateRequest, WriteStateResponse>,
    respond: sendUnaryData<WriteStateResponse>,
  ): Promise<void> {
    let bytes = 0;
    let unread = false;
    for await (const request of call as AsyncIterable<WriteStateRequest>) {
      this.uploads.push(request);
      bytes += request.chunk?.data.byteLength ?? 0;
      // As one that does not reach a worker's memory.
      unread ||= request.chunk?.lent !== undefined;
    }
    respond(null, create(WriteStateResponseSchema, { bytes: BigInt(bytes), unread }));
    this.uploadsDone++;
    this.#uploaded();
  }

  async #serveMicrobatches(
    call: ServerWritableStream<ReadMicrobatchesRequest, ReadMicrobatchesResponse>,
  ): Promise<void> {
    const workerId = this.#identify(call);
    if (workerId === null) return;
    this.reads.push(call.request);
    for (const { step, microbatch, samples } of this.#script.microbatches?.(
      call.request,
      workerId,
    ) ?? []) {
      if (call.cancelled) return;
      const message = create(ReadMicrobatchesResponseSchema, {
        step: BigInt(step),
        microbatch,
        samples: samples.map((sample) => create(SampleRecordSchema, sample)),
      });
      this.microbatchesSent++;
      if (!call.write(message)) {
        await Promise.race([once(call, "drain"), once(call, "cancelled")]);
      }
    }
    call.end();
  }
}
