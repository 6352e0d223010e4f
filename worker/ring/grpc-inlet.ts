/** The receiving end of a gRPC link: pulls the left neighbour's stream with a wide window. */
import { create } from "@bufbuild/protobuf";
import {
  Client,
  credentials,
  Metadata,
  type ChannelCredentials,
  type ClientDuplexStream,
} from "@grpc/grpc-js";
import { makeRingProof, metadataNames } from "../../proto/auth.ts";
import {
  PullRequestSchema,
  type PullRequest,
  type PullResponse,
} from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { ringChunkBytes } from "../../proto/limits.ts";
import { clientOptions, ringServiceDefinition } from "../../proto/service.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import type { LinkOptions } from "./link-options.ts";
import { LinkBroken, type Chunk } from "./link.ts";
import { openSharedReader, type SharedReader } from "./shared-memory.ts";
import { Signpost } from "./signpost.ts";

/** Messages that wait to be taken before the stream is paused; the HTTP/2 window bounds what is behind it. */
const waitingMax = 8;

function openCall(
  client: Client,
  options: LinkOptions,
): ClientDuplexStream<PullRequest, PullResponse> {
  const { path, requestSerialize, responseDeserialize } = ringServiceDefinition.pull;
  const { workerId, generation, ringKey } = options;
  const metadata = new Metadata({ waitForReady: true });
  metadata.set(metadataNames.worker, workerId);
  metadata.set(metadataNames.generation, String(generation));
  metadata.set(metadataNames.proof, makeRingProof(ringKey, { workerId, generation, lane: 0 }));
  return client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadata);
}

/** Receives from the left neighbour. */
export class GrpcInlet {
  readonly #options: LinkOptions;
  readonly #client: Client;
  readonly #call: ClientDuplexStream<PullRequest, PullResponse>;
  readonly #queue = new ChunkQueue<PullResponse>(Number.POSITIVE_INFINITY);
  readonly #connected = new Signpost();
  readonly #scratch = new Uint8Array(ringChunkBytes);
  #waiting = 0;
  #isConnected = false;
  #reader: SharedReader | null = null;
  #consumed = 0;
  #closed: Error | null = null;
  receivedBytes = 0;

  constructor(
    options: LinkOptions,
    channelCredentials: ChannelCredentials = credentials.createInsecure(),
  ) {
    this.#options = options;
    this.#client = new Client(options.left.ringAddress, channelCredentials, clientOptions);
    this.#call = openCall(this.#client, options);
    this.#call.on("metadata", () => this.#connect());
    this.#call.on("data", (message: PullResponse) => this.#arrived(message));
    const lost = (why: string): void =>
      this.close(new LinkBroken(`${options.left.workerId} has left the ring: ${why}`));
    this.#call.on("error", (error) => lost(error.message));
    this.#call.on("end", () => lost("its stream has ended"));
    const { run, generation, rank, hostId } = options;
    this.#call.write(create(PullRequestSchema, { run, generation, rank, lane: 0, hostId }));
  }

  #connect(): void {
    this.#isConnected = true;
    this.#connected.raise();
  }

  #arrived(message: PullResponse): void {
    this.#connect();
    if (message.offerSharedMemory) {
      this.#answerOffer();
    } else if (message.generation === this.#options.generation) {
      this.#waiting += 1;
      if (this.#waiting >= waitingMax) this.#call.pause();
      // The queue has no limit of its own: pausing the stream is the limit, so this never waits.
      this.#queue.push(message, this.#options.signal).catch(() => undefined);
    }
  }

  #answerOffer(): void {
    const { sharedMemoryFolder: folder, ringKey, run, generation, left } = this.#options;
    this.#reader =
      folder === null
        ? null
        : openSharedReader(
            { ringKey, run, generation, writer: left.workerId, purpose: "link" },
            folder,
          );
    this.#call.write(create(PullRequestSchema, { sharedMemoryOpen: this.#reader !== null }));
  }

  /** Resolves when the left neighbour has let us in. */
  async ready(signal: AbortSignal): Promise<void> {
    while (!this.#isConnected) {
      signal.throwIfAborted();
      if (this.#closed !== null) throw this.#closed;
      await this.#connected.reached(signal);
    }
  }

  /** The next chunk; its payload is valid until the next call. */
  async receive(signal: AbortSignal): Promise<Chunk> {
    const message = await this.#queue.shift(signal);
    this.#waiting -= 1;
    if (this.#waiting < waitingMax && this.#call.isPaused()) this.#call.resume();
    const data = message.sharedBytes > 0 ? this.#takeShared(message.sharedBytes) : message.data;
    this.receivedBytes += data.byteLength;
    return {
      collective: Number(message.collective),
      hop: message.hop,
      offset: Number(message.offset),
      data,
    };
  }

  #takeShared(bytes: number): Uint8Array {
    if (this.#reader === null || bytes > ringChunkBytes) {
      throw new LinkBroken(
        `${this.#options.left.workerId} announced ${bytes} bytes in shared memory that is not open`,
      );
    }
    this.#reader.read(this.#consumed, bytes, this.#scratch);
    this.#consumed += 1;
    this.#call.write(
      create(PullRequestSchema, { sharedMemoryOpen: true, consumedChunks: BigInt(this.#consumed) }),
    );
    return this.#scratch.subarray(0, bytes);
  }

  close(reason: Error): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    this.#queue.close(reason);
    this.#connected.raise();
    this.#call.cancel();
    this.#reader?.close();
    this.#client.close();
  }
}
