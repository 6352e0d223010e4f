/** The receiving end of a gRPC link: pulls the left neighbour's stream with a wide window. */
import { create } from "@bufbuild/protobuf";
import type { TlsIdentity } from "../../foundation/tls/tls-identity.ts";
import { makeRingProof, metadataNames } from "../../proto/auth.ts";
import { PullRequestSchema } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { ringChunkBytes } from "../../proto/limits.ts";
import { readPullHead, readPullMessage, type PullMessage } from "../../proto/pull-response.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { LaneInlets } from "./lanes.ts";
import type { LinkOptions } from "./link-options.ts";
import { LinkBroken, type Chunk, type ChunkHead, type Landing } from "./link.ts";
import { MessageMemory } from "./message-memory.ts";
import { OpenedPull } from "./opened-pull.ts";
import { openSharedReader, type SharedReader } from "./shared-memory.ts";
import { Signpost } from "./signpost.ts";

/** Messages that wait to be taken before the stream is paused; the HTTP/2 window bounds what is behind it. */
export const waitingMax = 4;
/** Longest message: a chunk and the fields beside its payload. */
const messageBytesMax = ringChunkBytes + 1024;

/** A message that waits to be taken, and the memory of the link that it lies in: null where its payload lies elsewhere. */
interface Waiting {
  readonly message: PullMessage;
  readonly memory: Uint8Array | null;
}

/** The chunk that a message carries. */
function headOf({ collective, hop, offset }: Omit<PullMessage, "data">, bytes: number): ChunkHead {
  return { collective: Number(collective), hop, offset: Number(offset), bytes };
}

/** Receives from the left neighbour. */
export class GrpcInlet {
  readonly #options: LinkOptions;
  readonly #lost: (reason: Error) => void;
  readonly #pull: OpenedPull;
  readonly #queue = new ChunkQueue<Waiting>(Number.POSITIVE_INFINITY);
  readonly #memory: MessageMemory;
  readonly #connected = new Signpost();
  /** What was read from shared memory last; it grows to the largest chunk. */
  #scratch = new Uint8Array(0);
  #waiting = 0;
  #isPaused = false;
  /** What the last `receive` has given out. */
  #lent: Uint8Array | null = null;
  #landing: Landing | null = null;
  /** A message whose payload is on its way to where the landing said. */
  #landed: PullMessage | null = null;
  #isConnected = false;
  #reader: SharedReader | null = null;
  readonly #lanes = new LaneInlets((why) =>
    this.close(new LinkBroken(`${this.#options.left.workerId} has left the ring: ${why}`)),
  );
  #consumed = 0;
  #closed: Error | null = null;
  receivedBytes = 0;

  /**
   * @param tls whom to take for the neighbour, and what to show it; null for plain text
   * @param lost hears once that nothing further comes, and why; nobody by default
   */
  constructor(
    options: LinkOptions,
    tls: TlsIdentity | null,
    lost: (reason: Error) => void = () => undefined,
  ) {
    this.#options = options;
    this.#lost = lost;
    const { run, generation, rank, hostId, workerId, ringKey, left, lane } = options;
    this.#memory = new MessageMemory(messageBytesMax, lane > 0);
    this.#pull = new OpenedPull({
      address: left.ringAddress,
      tls,
      metadata: {
        [metadataNames.worker]: workerId,
        [metadataNames.generation]: String(generation),
        [metadataNames.proof]: makeRingProof(ringKey, { workerId, generation, lane }),
      },
      opening: create(PullRequestSchema, { run, generation, rank, lane, hostId }),
      frames: {
        bytesMax: messageBytesMax,
        take: (length, first) => this.#take(length, first),
        message: (pieces) => this.#arrived(pieces),
      },
      accepted: () => this.#connect(),
      lost: (why) => this.#lose(new LinkBroken(`${left.workerId} has left the ring: ${why}`)),
    });
  }

  #connect(): void {
    this.#isConnected = true;
    this.#connected.raise();
  }

  /** Memory for a message: its payload's is where the landing says, if anywhere. */
  #take(length: number, first: Uint8Array): readonly Uint8Array[] {
    const head = readPullHead(first);
    if (head === null) return [this.#memory.take(length, 0)];
    const { message, payloadAt, payloadBytes } = head;
    const isLast = payloadAt + payloadBytes === length;
    const place =
      isLast && message.generation === this.#options.generation
        ? (this.#landing?.(headOf(message, payloadBytes)) ?? null)
        : null;
    if (place === null) return [this.#memory.take(length, payloadAt)];
    this.#landed = { ...message, data: place };
    return [new Uint8Array(payloadAt), place];
  }

  #arrived([memory = new Uint8Array(0)]: readonly Uint8Array[]): void {
    const landed = this.#landed;
    this.#landed = null;
    if (landed === null) this.#takeIn(readPullMessage(memory), memory);
    else this.#takeIn(landed, null);
  }

  #takeIn(message: PullMessage, memory: Uint8Array | null): void {
    if (message.offerSharedMemory) {
      this.#answerOffer();
    } else if (message.offerLanes.length > 0) {
      void this.#openLanes(message.offerLanes).catch(() => undefined);
    } else if (message.generation === this.#options.generation) {
      if (message.laneBytes > 0) this.#announce(message);
      this.#waiting += 1;
      this.#setPaused(this.#waiting >= waitingMax);
      // The queue has no limit of its own: pausing the stream is the limit, so this never waits.
      this.#queue.push({ message, memory }, this.#options.signal).catch(() => undefined);
    }
  }

  #setPaused(isPaused: boolean): void {
    if (isPaused === this.#isPaused) return;
    this.#isPaused = isPaused;
    if (isPaused) this.#pull.pause();
    else this.#pull.resume();
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
    this.#pull.write(create(PullRequestSchema, { sharedMemoryOpen: this.#reader !== null }));
  }

  /** Pulls by lanes too. What comes of an offer that is over meanwhile nobody hears. */
  async #openLanes(addresses: readonly string[]): Promise<void> {
    const { sharedMemoryFolder: _folder, lanes, signal, ...ends } = this.#options;
    const own = await lanes.take();
    const ofLanes = addresses.slice(0, own.length).map((ringAddress, index) => ({
      ...ends,
      lane: index + 1,
      left: { ...ends.left, ringAddress },
    }));
    const open = await this.#lanes.open(own, ofLanes, signal);
    if (open === null)
      lanes.giveUp(`${ends.left.workerId} cannot be reached at ${addresses.join(", ")}`);
    this.#pull.write(create(PullRequestSchema, { lanesOpen: open ?? 0 }));
  }

  /** A payload comes by a lane: it may be put where the landing says. */
  #announce(message: PullMessage): void {
    const head = headOf(message, message.laneBytes);
    if (head.bytes > ringChunkBytes)
      throw new LinkBroken(`a chunk of ${head.bytes} bytes was announced by a lane`);
    this.#lanes.announce(message.lane, head, this.#landing?.(head) ?? null);
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
    if (this.#lent !== null) this.#memory.give(this.#lent);
    this.#lent = null;
    this.#lanes.giveBack();
    const { message, memory } = await this.#queue.shift(signal);
    this.#lent = memory;
    this.#waiting -= 1;
    this.#setPaused(this.#waiting >= waitingMax);
    const data = await this.#payloadOf(message, signal);
    const { bytes, ...chunk } = headOf(message, data.byteLength);
    this.receivedBytes += bytes;
    return { ...chunk, data };
  }

  async #payloadOf(message: PullMessage, signal: AbortSignal): Promise<Uint8Array> {
    if (message.sharedBytes > 0) return this.#takeShared(message);
    if (message.laneBytes > 0) return await this.#lanes.take(message.lane, signal);
    return message.data;
  }

  /** Says where payloads may be put from now on. Closes where one is on its way to where they no longer may. */
  land(landing: Landing | null): void {
    this.#landing = landing;
    if (this.#landed !== null || this.#lanes.isPlacing)
      this.close(new LinkBroken("a payload was on its way to memory that is used otherwise now"));
  }

  #takeShared(message: PullMessage): Uint8Array {
    const bytes = message.sharedBytes;
    if (this.#reader === null || bytes > ringChunkBytes) {
      throw new LinkBroken(
        `${this.#options.left.workerId} announced ${bytes} bytes in shared memory that is not open`,
      );
    }
    const place = this.#landing?.(headOf(message, bytes)) ?? null;
    if (place === null && this.#scratch.byteLength < bytes) this.#scratch = new Uint8Array(bytes);
    const data = place ?? this.#scratch.subarray(0, bytes);
    this.#reader.read(this.#consumed, bytes, data);
    this.#consumed += 1;
    this.#pull.write(
      create(PullRequestSchema, { sharedMemoryOpen: true, consumedChunks: BigInt(this.#consumed) }),
    );
    return data;
  }

  /** Nothing further comes; what waits in the queue can still be taken, also out of shared memory. */
  #lose(reason: Error): void {
    if (this.#closed !== null) return;
    this.#closed = reason;
    this.#lost(reason);
    this.#queue.close(reason);
    this.#connected.raise();
    this.#pull.cancel();
    this.#lanes.close();
  }

  close(reason: Error): void {
    this.#lose(reason);
    this.#reader?.close();
    this.#reader = null;
  }
}
