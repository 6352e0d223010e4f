/**
 * A generation's lanes, from either end. The stream between two neighbours keeps the order of all chunks; a large payload in
 * memory that threads share is only announced there, and comes by a lane, while other lanes bring others.
 */
import { signalWithin } from "../../foundation/abortable.ts";
import { copyBytes } from "../exact/arena.ts";
import { ChunkQueue } from "./chunk-queue.ts";
import { isSameChunk, type LaneArrival, type LaneEnds } from "./lane-messages.ts";
import type { Lane, LaneInlet, LaneOutlet } from "./lane-thread.ts";
import { LinkBroken, type Chunk, type ChunkHead } from "./link.ts";

/** Chunks that a lane is told of before it has sent them: the next one lies ready when one has left. */
const leavingMax = 3;
/** How long lanes may take until they are connected, in milliseconds. */
const openMsMax = 5_000;

/** Lanes to the right neighbour. */
export class LaneOutlets {
  readonly addresses: readonly string[];
  readonly #outlets: readonly LaneOutlet[];
  /** Chunks that each lane has not sent. */
  readonly #leaving: number[];
  readonly #changed: () => void;
  #open = 0;

  /**
   * @param ends what a lane by its number, from 1, knows of its generation
   * @param heard changes, and with a reason that a lane is lost
   */
  constructor(
    lanes: readonly Lane[],
    ends: (lane: number) => LaneEnds,
    heard: (lost: string | null) => void,
  ) {
    this.addresses = lanes.map(({ address }) => address);
    this.#changed = () => heard(null);
    this.#leaving = lanes.map(() => 0);
    this.#outlets = lanes.map((lane, index) =>
      lane.serve(ends(index + 1), (sent) => {
        if (sent.kind === "sent") this.#left(index);
        else if (index < this.#open) heard(sent.reason);
      }),
    );
  }

  /** How many lanes the neighbour has opened, from the first on; the others are closed. */
  open(count: number): void {
    this.#open = Math.min(count, this.#outlets.length);
    for (const outlet of this.#outlets.slice(this.#open)) outlet.close();
  }

  #left(index: number): void {
    this.#leaving[index] = (this.#leaving[index] ?? 0) - 1;
    this.#changed();
  }

  /** Whether there is a lane that reaches a payload. */
  carries({ buffer }: Uint8Array): boolean {
    return this.#open > 0 && buffer instanceof SharedArrayBuffer;
  }

  get isFull(): boolean {
    const open = this.#leaving.slice(0, this.#open);
    return open.length > 0 && open.every((leaving) => leaving >= leavingMax);
  }

  get isEmpty(): boolean {
    return this.#leaving.every((leaving) => leaving === 0);
  }

  /** Sends a chunk by the lane that has least to do; gives its number. */
  send({ data, ...chunk }: Chunk): number {
    const open = this.#leaving.slice(0, this.#open);
    const index = open.indexOf(Math.min(...open));
    this.#leaving[index] = (this.#leaving[index] ?? 0) + 1;
    this.#outlets[index]?.send({ head: { ...chunk, bytes: data.byteLength }, data });
    return index + 1;
  }

  close(): void {
    this.#open = 0;
    for (const outlet of this.#outlets) outlet.close();
  }
}

/** A chunk on its way by a lane. */
interface Announced {
  readonly head: ChunkHead;
  readonly place: Uint8Array | null;
}

/** A lane from the left neighbour. */
interface Arriving {
  readonly inlet: LaneInlet;
  readonly arrived: ChunkQueue<Extract<LaneArrival, { readonly kind: "arrived" }>>;
  /** What has been announced and not been taken. */
  readonly announced: Announced[];
  phase: "opening" | "open" | "closed";
}

/** Lanes from the left neighbour. */
export class LaneInlets {
  readonly #lanes: Arriving[] = [];
  readonly #lost: (reason: string) => void;
  /** The lane in whose memory what was taken last lies. */
  #lent: Arriving | null = null;

  /** @param lost hears that a lane which was open is lost, and why */
  constructor(lost: (reason: string) => void) {
    this.#lost = lost;
  }

  /**
   * Pulls by as many lanes as both sides have; gives how many are open: all of them or none, and null where they cannot be reached
   * in time.
   */
  async open(
    lanes: readonly Lane[],
    ends: readonly LaneEnds[],
    signal: AbortSignal,
  ): Promise<number | null> {
    const inTime = signalWithin(signal, openMsMax);
    const opening = ends.map(async (end, index) => {
      const lane = lanes[index];
      if (lane !== undefined) await this.#pull(lane, end, signal).shift(inTime);
    });
    try {
      await Promise.all(opening);
      for (const arriving of this.#lanes) arriving.phase = "open";
    } catch {
      this.close();
      signal.throwIfAborted();
      if (inTime.aborted) return null;
    }
    return this.#lanes.length;
  }

  /** Begins to pull by a lane; what it gives has something in it once the lane is open. */
  #pull(lane: Lane, ends: LaneEnds, signal: AbortSignal): ChunkQueue<null> {
    const opened = new ChunkQueue<null>(1);
    const arrived: Arriving["arrived"] = new ChunkQueue(Number.POSITIVE_INFINITY);
    const inlet = lane.pull(ends, (arrival) => {
      if (arrival.kind === "open") void opened.push(null, signal).catch(() => undefined);
      // The lane itself waits where its own memory is full, and elsewhere for places.
      else if (arrival.kind === "arrived")
        void arrived.push(arrival, signal).catch(() => undefined);
      else this.#end(arriving, opened, arrival.reason);
    });
    const arriving: Arriving = { inlet, arrived, announced: [], phase: "opening" };
    this.#lanes[ends.lane - 1] = arriving;
    return opened;
  }

  #end(arriving: Arriving, opened: ChunkQueue<null>, reason: string): void {
    opened.close(new LinkBroken(reason));
    arriving.arrived.close(new LinkBroken(reason));
    const wasOpen = arriving.phase === "open";
    arriving.phase = "closed";
    if (wasOpen) this.#lost(reason);
  }

  /** A chunk is on its way by a lane, and may be put to `place`. Throws LinkBroken for a lane that is not open. */
  announce(lane: number, head: ChunkHead, place: Uint8Array | null): void {
    const arriving = this.#at(lane);
    // The lane's thread would write to a copy of other memory.
    const reached = place?.buffer instanceof SharedArrayBuffer ? place : null;
    arriving.announced.push({ head, place: reached });
    if (reached !== null) arriving.inlet.place(head, reached);
  }

  #at(lane: number): Arriving {
    const arriving = this.#lanes[lane - 1];
    if (arriving === undefined)
      throw new LinkBroken(`a chunk was announced by lane ${lane}, which is not open`);
    return arriving;
  }

  /** The payload of the chunk that was announced first of those by a lane; valid until the next call of `giveBack`. */
  async take(lane: number, signal: AbortSignal): Promise<Uint8Array> {
    const arriving = this.#at(lane);
    const { head, data } = await arriving.arrived.shift(signal);
    const announced = arriving.announced.shift();
    if (announced === undefined || !isSameChunk(announced.head, head))
      throw new LinkBroken(`lane ${lane} has brought another chunk than was announced`);
    this.#lent = data === null ? null : arriving;
    const { place } = announced;
    if (place === null || data === null) return place ?? data ?? new Uint8Array(0);
    // It came before its place was known.
    copyBytes(place, data);
    this.giveBack();
    return place;
  }

  /** What was taken last has been used. */
  giveBack(): void {
    this.#lent?.inlet.taken();
    this.#lent = null;
  }

  /** Whether a payload may be on its way to a place. */
  get isPlacing(): boolean {
    return this.#lanes.some(({ announced }) => announced.some(({ place }) => place !== null));
  }

  /** Ends all lanes; afterwards nothing is written to places any more. Safe to call twice. */
  close(): void {
    for (const arriving of this.#lanes.splice(0)) {
      arriving.phase = "closed";
      arriving.arrived.close(new LinkBroken("the lane is closed"));
      arriving.inlet.close(arriving.announced.some(({ place }) => place !== null));
    }
  }
}
