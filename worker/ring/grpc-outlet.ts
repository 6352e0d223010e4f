/** The sending end of a gRPC link: the stream that the right neighbour pulls. */
import type { PullRequest } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { emptyPullMessage, type PullMessage } from "../../proto/pull-response.ts";
import type { LinkOptions, Transport } from "./link-options.ts";
import { LinkBroken, type Chunk } from "./link.ts";
import type { ServedPull } from "./served-pull.ts";
import { createSharedWriter, hasRoom, slotCount, type SharedWriter } from "./shared-memory.ts";
import { Signpost } from "./signpost.ts";

/** Smaller payloads travel in the message: it has to be sent anyway. */
const sharedBytesMin = 16 * 1024;

/** Messages on their way to the connection before `send` waits: the next one lies ready when one has left. */
const leavingMax = 4;

type OutletState =
  | { readonly phase: "waiting" }
  | { readonly phase: "offering"; readonly call: ServedPull; readonly writer: SharedWriter }
  | { readonly phase: "open"; readonly call: ServedPull; readonly writer: SharedWriter | null }
  | { readonly phase: "broken"; readonly reason: Error };

/** Sends to the right neighbour. */
export class GrpcOutlet {
  readonly #options: LinkOptions;
  /** Changes of state, freed slots and messages that have left all wake who waits. */
  readonly #changed = new Signpost();
  #state: OutletState = { phase: "waiting" };
  #sharedSent = 0;
  #sharedConsumed = 0;
  #leaving = 0;
  sentBytes = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  get transport(): Transport {
    return this.#state.phase === "open" && this.#state.writer !== null ? "shm" : "grpc";
  }

  /** Takes the stream of the neighbour that has proved itself. */
  attach(call: ServedPull, opening: PullRequest): void {
    if (this.#state.phase !== "waiting") {
      call.end();
      return;
    }
    call.listen({
      request: (request) => this.#acknowledged(request),
      lost: () => this.close(new LinkBroken(`${this.#options.right.workerId} has left the ring`)),
    });
    call.accept();
    const writer = this.#offer(opening);
    this.#state =
      writer === null ? { phase: "open", call, writer } : { phase: "offering", call, writer };
    if (writer !== null) this.#write(call, { ...emptyPullMessage, offerSharedMemory: true });
    this.#changed.raise();
  }

  #offer(opening: PullRequest): SharedWriter | null {
    const {
      sharedMemoryFolder: folder,
      hostId,
      ringKey,
      run,
      generation,
      workerId,
    } = this.#options;
    if (folder === null || opening.hostId !== hostId || !hasRoom(folder)) return null;
    try {
      const key = { ringKey, run, generation, writer: workerId, purpose: "link" } as const;
      return createSharedWriter(key, folder);
    } catch {
      return null;
    }
  }

  #acknowledged(request: PullRequest): void {
    const state = this.#state;
    if (state.phase === "offering") {
      const writer = request.sharedMemoryOpen ? state.writer : null;
      if (writer === null) state.writer.close();
      this.#state = { phase: "open", call: state.call, writer };
    }
    this.#sharedConsumed = Number(request.consumedChunks);
    this.#changed.raise();
  }

  /** Resolves when the neighbour pulls. */
  async ready(signal: AbortSignal): Promise<void> {
    await this.#opened(signal);
  }

  async #opened(signal: AbortSignal): Promise<Extract<OutletState, { phase: "open" }>> {
    for (;;) {
      signal.throwIfAborted();
      if (this.#state.phase === "open") return this.#state;
      if (this.#state.phase === "broken") throw this.#state.reason;
      await this.#changed.reached(signal);
    }
  }

  /** Sends one chunk; waits while the stream or the shared memory is full. */
  async send(chunk: Chunk, signal: AbortSignal): Promise<void> {
    const bytes = chunk.data.byteLength;
    let state = await this.#opened(signal);
    while (
      this.#leaving >= leavingMax ||
      (state.writer !== null && this.#sharedSent - this.#sharedConsumed >= slotCount)
    ) {
      await this.#changed.reached(signal);
      state = await this.#opened(signal);
    }
    const writer = bytes >= sharedBytesMin ? state.writer : null;
    if (writer !== null) {
      writer.write(this.#sharedSent, chunk.data);
      this.#sharedSent += 1;
    }
    this.sentBytes += bytes;
    this.#write(state.call, {
      ...emptyPullMessage,
      generation: this.#options.generation,
      collective: BigInt(chunk.collective),
      hop: chunk.hop,
      offset: BigInt(chunk.offset),
      data: writer === null ? chunk.data : emptyPullMessage.data,
      sharedBytes: writer === null ? 0 : bytes,
    });
  }

  #write(call: ServedPull, message: PullMessage): void {
    this.#leaving += 1;
    call.send(message, () => {
      this.#leaving -= 1;
      this.#changed.raise();
    });
  }

  /** Resolves when all that was sent has left, and its payload may be overwritten. */
  async flush(signal: AbortSignal): Promise<void> {
    while (this.#leaving > 0) {
      await this.#opened(signal);
      await this.#changed.reached(signal);
    }
  }

  close(reason: Error): void {
    const state = this.#state;
    if (state.phase === "broken") return;
    this.#state = { phase: "broken", reason };
    if (state.phase !== "waiting") {
      state.writer?.close();
      state.call.end();
    }
    this.#changed.raise();
  }
}
