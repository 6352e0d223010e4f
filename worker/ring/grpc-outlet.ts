/** The sending end of a gRPC link: the stream that the right neighbour pulls. */
import type { PullRequest } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { emptyPullMessage, type PullMessage } from "../../proto/pull-response.ts";
import { LaneOutlets } from "./lanes.ts";
import type { LinkOptions, Transport } from "./link-options.ts";
import { LinkBroken, type Chunk } from "./link.ts";
import type { ServedPull } from "./served-pull.ts";
import { createSharedWriter, hasRoom, slotCount, type SharedWriter } from "./shared-memory.ts";
import { Signpost } from "./signpost.ts";

/** Smaller payloads travel in the message: it has to be sent anyway. */
const besideBytesMin = 16 * 1024;

/** Messages on their way to the connection before `send` waits: the next one lies ready when one has left. */
export const leavingMax = 4;

/** How payloads may travel but in the stream itself. */
interface Ways {
  readonly writer: SharedWriter | null;
  readonly lanes: LaneOutlets | null;
}
const noWays: Ways = { writer: null, lanes: null };

type OutletState =
  | { readonly phase: "waiting" }
  /** The neighbour is there; how else payloads may travel is being found out. */
  | { readonly phase: "offering"; readonly call: ServedPull; readonly ways: Ways }
  | { readonly phase: "open"; readonly call: ServedPull; readonly ways: Ways }
  | { readonly phase: "broken"; readonly reason: Error };

/** Sends to the right neighbour. */
export class GrpcOutlet {
  readonly #options: LinkOptions;
  readonly #lost: (reason: Error) => void;
  /** Changes of state, freed slots and messages that have left all wake who waits. */
  readonly #changed = new Signpost();
  #state: OutletState = { phase: "waiting" };
  #sharedSent = 0;
  #sharedConsumed = 0;
  #leaving = 0;
  sentBytes = 0;

  /** @param lost hears once that nothing further can be sent, and why; nobody by default */
  constructor(options: LinkOptions, lost: (reason: Error) => void = () => undefined) {
    this.#options = options;
    this.#lost = lost;
  }

  get transport(): Transport {
    return this.#state.phase === "open" && this.#state.ways.writer !== null ? "shm" : "grpc";
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
    const writer = this.#share(opening);
    this.#state = { phase: "offering", call, ways: { writer, lanes: null } };
    if (writer === null) void this.#offerLanes(call);
    else this.#write(call, { ...emptyPullMessage, offerSharedMemory: true });
  }

  /** Offers lanes, where there are any; otherwise the stream carries everything. */
  async #offerLanes(call: ServedPull): Promise<void> {
    const { sharedMemoryFolder: _folder, lanes: own, signal: _signal, ...ends } = this.#options;
    const started = await own.take();
    if (this.#state.phase !== "offering") return;
    if (started.length === 0) {
      this.#open(call, noWays);
      return;
    }
    const lanes = new LaneOutlets(
      started,
      (lane) => ({ ...ends, lane }),
      (lost) => {
        if (lost === null) this.#changed.raise();
        else
          this.close(new LinkBroken(`${this.#options.right.workerId} has left the ring: ${lost}`));
      },
    );
    this.#state = { phase: "offering", call, ways: { writer: null, lanes } };
    this.#write(call, { ...emptyPullMessage, offerLanes: [...lanes.addresses] });
  }

  #open(call: ServedPull, ways: Ways): void {
    this.#state = { phase: "open", call, ways };
    this.#changed.raise();
  }

  #share(opening: PullRequest): SharedWriter | null {
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
      const { writer, lanes } = state.ways;
      if (!request.sharedMemoryOpen) writer?.close();
      lanes?.open(request.lanesOpen);
      this.#open(state.call, { writer: request.sharedMemoryOpen ? writer : null, lanes });
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
    while (this.#isFull(state.ways)) {
      await this.#changed.reached(signal);
      state = await this.#opened(signal);
    }
    this.sentBytes += bytes;
    this.#write(state.call, {
      ...emptyPullMessage,
      generation: this.#options.generation,
      collective: BigInt(chunk.collective),
      hop: chunk.hop,
      offset: BigInt(chunk.offset),
      ...this.#put(chunk, state.ways),
    });
  }

  #isFull({ writer, lanes }: Ways): boolean {
    const isShareFull = writer !== null && this.#sharedSent - this.#sharedConsumed >= slotCount;
    return this.#leaving >= leavingMax || isShareFull || (lanes?.isFull ?? false);
  }

  /** Puts a payload on its way; gives what the message says of it. */
  #put(chunk: Chunk, { writer, lanes }: Ways): Partial<PullMessage> {
    const bytes = chunk.data.byteLength;
    if (bytes < besideBytesMin) return { data: chunk.data };
    if (writer !== null) {
      writer.write(this.#sharedSent, chunk.data);
      this.#sharedSent += 1;
      return { sharedBytes: bytes };
    }
    if (lanes?.carries(chunk.data) === true) return { laneBytes: bytes, lane: lanes.send(chunk) };
    return { data: chunk.data };
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
    const isLeaving = ({ lanes }: Ways): boolean => this.#leaving > 0 || lanes?.isEmpty === false;
    while (isLeaving((await this.#opened(signal)).ways)) await this.#changed.reached(signal);
  }

  close(reason: Error): void {
    const state = this.#state;
    if (state.phase === "broken") return;
    this.#state = { phase: "broken", reason };
    this.#lost(reason);
    if (state.phase !== "waiting") {
      state.ways.writer?.close();
      state.ways.lanes?.close();
      state.call.end();
    }
    this.#changed.raise();
  }
}
