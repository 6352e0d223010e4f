/** A worker's place in the ring of one generation: the collectives as the train loop calls them. */
import { maxBytes, sumFloats, sumIntegers } from "./accumulate.ts";
import { collectivesOver, type Collectives, type Place } from "./collectives.ts";
import type { Carrier } from "./carrier.ts";
import { connectGrpcLink, type GrpcLink } from "./grpc-link.ts";
import type { Neighbour, Transport } from "./link-options.ts";
import { LinkBroken, type Link } from "./link.ts";
import type { CarrierAddon } from "./carrier-addon.ts";
import { carryMax } from "./carry-max.ts";
import { openCarrier } from "./open-carrier.ts";
import type { RingServer } from "./ring-server.ts";
import { narrowSumOver } from "./narrow-sum.ts";
import type { Segment } from "./segments.ts";
import { pairReduction } from "./pair-reduction.ts";
import { carryingOver } from "./ring-carry.ts";
import { shareHost } from "./share-host.ts";
import { SharedCollectives } from "./shared-collectives.ts";
import { sharedMemoryFolder } from "../../foundation/host/host-id.ts";
import { kernelsOf } from "../exact/arena.ts";
import type { MemoryFiles } from "../exact/memory-files.ts";
import type { CarryingRing } from "../exact/carried-sums.ts";
import type { DirectReduction } from "../exact/owner-sums.ts";

export { startRingServer, type RingServer } from "./ring-server.ts";

/** Bytes of payload since the ring was formed, and how they travel to the right neighbour. */
export interface RingCounters {
  readonly bytesSent: number;
  readonly bytesReceived: number;
  readonly transport: Transport | "none";
}

/** One generation's ring. Every rank must call the same collectives in the same order. */
export interface Ring extends Pick<
  Collectives,
  "allGather" | "fillParts" | "broadcast" | "barrier"
> {
  readonly rank: number;
  readonly worldSize: number;
  readonly generation: bigint;
  /** Whether all ranks share the memory of one host; the same on all of them. */
  readonly sharesHost: boolean;
  /** Sums a vector over all ranks, in place: the same bits on all of them, but the rounding depends on the ring's order. */
  sumFloats(vector: Float32Array, signal: AbortSignal): Promise<void>;
  /** Sums integers over all ranks, in place, wrapping. */
  sumIntegers(vector: Int32Array, signal: AbortSignal): Promise<void>;
  /** The same of integers whose sums fit into that many bits: over the network only those travel. */
  sumNarrow(vector: Int32Array, bits: 8 | 16, signal: AbortSignal): Promise<void>;
  /**
   * Sums integers over all ranks so that each ends with the sums of its segment; the rest is undefined.
   * @param bits that sums fit into; over the network only those travel
   * @param segments by rank, ascending; together they are the vector
   */
  scatterIntegers(
    vector: Int32Array,
    { bits, segments }: { readonly bits: 8 | 16 | 32; readonly segments: readonly Segment[] },
    signal: AbortSignal,
  ): Promise<void>;
  /** Keeps the largest byte of all ranks at each place. */
  maxBytes(bytes: Uint8Array, signal: AbortSignal): Promise<void>;
  /** What ranks can do besides where they share the memory of one host, or are two; null elsewhere. */
  readonly direct: DirectReduction | null;
  /** The same where payloads go from neighbour to neighbour; null in a ring of one, and where all share the memory of one host. */
  readonly carrying: CarryingRing | null;
  readonly counters: RingCounters;
  /** Whether a thread of its own moves and adds up what is carried; the same on all ranks. */
  readonly hasCarrier: boolean;
  /** Leaves the ring; calls under way reject with LinkBroken. */
  close(): Promise<void>;
}

/** How ranks of one host reach each other. */
export interface RingReach {
  /** `auto` shares memory with neighbours of the same host; `grpc` never does. Default `auto`. */
  readonly transport?: "auto" | "grpc";
  /** With what neighbours of the same host read each other's arenas; without, they show each other copies. Default none. */
  readonly memoryFiles?: MemoryFiles | null;
  /** With what payloads between hosts are moved and added up by a thread of their own where nothing is encrypted. Default none. */
  readonly carriers?: CarrierAddon | null;
}

/** The worker's own identity and its generation's members. */
export interface JoinRingOptions extends RingReach {
  readonly run: string;
  readonly generation: bigint;
  readonly rank: number;
  /** Members in rank order. */
  readonly members: readonly Neighbour[];
  readonly ringKey: Uint8Array;
  readonly signal: AbortSignal;
  /** Hears of every round of a collective, or hop where payloads travel by gRPC, and how many milliseconds ago it was over. */
  readonly onRound?: (agoMs?: number) => void;
}

/** The link of a ring of one: nothing is ever sent. */
function lonelyLink(): Link {
  const alone = (): never => {
    throw new Error("Cannot use a link of a ring of one");
  };
  const nothing = { sentBytes: 0, receivedBytes: 0, close: () => undefined };
  return { send: alone, flush: alone, receive: alone, land: () => undefined, ...nothing };
}

function memberAt(members: readonly Neighbour[], rank: number): Neighbour {
  const member = members[(rank + members.length) % members.length];
  if (member === undefined) throw new RangeError(`Cannot find member of rank ${rank}`);
  return member;
}

/** Connects to both neighbours and resolves when the ring is closed around this worker. */
export async function joinRing(server: RingServer, options: JoinRingOptions): Promise<Ring> {
  const { run, generation, rank, members, ringKey, signal } = options;
  const own = memberAt(members, rank);
  const ends = { self: own, left: memberAt(members, rank - 1), right: memberAt(members, rank + 1) };
  const folder = options.transport === "grpc" ? null : sharedMemoryFolder;
  const connected =
    members.length === 1
      ? null
      : await connectGrpcLink(server, {
          run,
          generation,
          rank,
          workerId: own.workerId,
          hostId: own.hostId,
          left: ends.left,
          right: ends.right,
          ringKey,
          sharedMemoryFolder: folder,
          signal,
        });
  const link = connected ?? lonelyLink();
  const onRound = options.onRound ?? (() => undefined);
  const place: Place = { rank, rankCount: members.length, link, collective: 0, onRound };
  if (connected === null)
    return ringOf({ place, generation, connected, shared: null, carrier: null });
  const shared = await sharedOver(place, folder, options);
  const opened =
    shared === null ? openCarrier({ place, server, link: connected, ...ends, options }) : null;
  const carrier = opened && (await closingOnFailure(connected, opened));
  return ringOf({ place, generation, connected, shared, carrier });
}

/** What a ring is made of. */
interface RingParts {
  readonly place: Place;
  readonly generation: bigint;
  /** Null in a ring of one. */
  readonly connected: GrpcLink | null;
  readonly shared: SharedCollectives | null;
  readonly carrier: Carrier | null;
}

function ringOf({ place, generation, connected, shared, carrier }: RingParts): Ring {
  const { rank, rankCount, link } = place;
  const collectives = shared ?? collectivesOver(place);
  // In shared memory the integers lie in the neighbours' reach as they are: narrowing them would be a copy more.
  const narrow = shared === null ? narrowSumOver(collectives) : null;
  return {
    rank,
    worldSize: rankCount,
    generation,
    sharesHost: shared !== null,
    direct: shared ?? (rankCount === 2 && carrier === null ? pairReduction(place) : null),
    carrying: connected === null || shared !== null ? null : carryingOver(place, carrier),
    sumFloats: (vector, abort) => collectives.allReduce(vector, sumFloats, abort),
    sumIntegers: (vector, abort) => collectives.allReduce(vector, sumIntegers, abort),
    sumNarrow: (vector, bits, abort) =>
      narrow === null
        ? collectives.allReduce(vector, sumIntegers, abort)
        : narrow.reduce(vector, bits, abort),
    scatterIntegers: (vector, { bits, segments }, abort) =>
      narrow === null || bits === 32
        ? collectives.scatterTo(vector, sumIntegers, segments, abort)
        : narrow.scatter(vector, bits, segments, abort),
    maxBytes: (bytes, abort) =>
      carrier === null || kernelsOf(bytes) === null
        ? collectives.allReduce(bytes, maxBytes, abort)
        : carryMax(place, carrier, bytes, abort),
    allGather: (part, sizes, abort) => collectives.allGather(part, sizes, abort),
    fillParts: (parts, abort) => collectives.fillParts(parts, abort),
    broadcast: (bytes, root, abort) => collectives.broadcast(bytes, root, abort),
    barrier: (abort) => collectives.barrier(abort),
    hasCarrier: carrier !== null,
    get counters(): RingCounters {
      return {
        bytesSent: link.sentBytes + (shared?.counters.sentBytes ?? 0) + (carrier?.sentBytes ?? 0),
        bytesReceived:
          link.receivedBytes +
          (shared?.counters.receivedBytes ?? 0) +
          (carrier?.receivedBytes ?? 0),
        transport: shared !== null ? "shm" : (connected?.transport ?? "none"),
      };
    },
    close() {
      shared?.break(new LinkBroken(`ring of generation ${generation} is closed`));
      carrier?.close();
      link.close();
      shared?.close();
      return Promise.resolve();
    },
  };
}

/** What is agreed on when a ring forms; a link over which that fails is closed. */
async function closingOnFailure<T>(link: Link, agreement: Promise<T>): Promise<T> {
  try {
    return await agreement;
  } catch (error) {
    link.close();
    throw error;
  }
}

/** The collectives through shared memory where all ranks agree on it. The link then only tells that a neighbour is gone. */
async function sharedOver(
  place: Place,
  folder: string | null,
  options: JoinRingOptions,
): Promise<SharedCollectives | null> {
  const agreed = shareHost(place, { ...options, folder });
  const boards = await closingOnFailure(place.link, agreed);
  if (boards === null) return null;
  const shared = new SharedCollectives(boards, place.onRound);
  shared.watch(place.link);
  return shared;
}
