/**
 * Carriers of a ring, made when it forms: all ranks have one, or none. Each serves its right neighbour a second pull and pulls a second time
 * from its left one, as a link does; once all of them are open, node lets go of the connections.
 *
 *   1  can all?                      nothing is encrypted, payloads travel by gRPC, there are no lanes, the addon is there
 *   2  are all open?                 node's HTTP/2 has greeted both neighbours, and nothing is on its way
 *   3  has node let go everywhere?   only then the first message may come
 */
import { create } from "@bufbuild/protobuf";
import { abortable, signalWithin } from "../../foundation/abortable.ts";
import { makeRingProof, metadataNames } from "../../proto/auth.ts";
import { PullRequestSchema } from "../../proto/gen/ringmaster/v1/ring_pb.ts";
import { receiveWindowBytes, ringChunkBytes } from "../../proto/limits.ts";
import type { CarrierAddon } from "./carrier-addon.ts";
import { Carrier } from "./carrier.ts";
import { prefixBytes } from "./grpc-frames.ts";
import type { GrpcLink } from "./grpc-link.ts";
import type { Neighbour } from "./link-options.ts";
import { OpenedPull } from "./opened-pull.ts";
import type { Place } from "./ring-walk.ts";
import type { RingServer } from "./ring-server.ts";
import type { ServedPull } from "./served-pull.ts";
import { allSay } from "./vote.ts";

/** Number of a carrier's stream among the lanes: more than there can be of those. */
const carrierLane = 65_535;
/** Longest message: a chunk and the fields beside its payload. */
const messageBytesMax = ringChunkBytes + 1024;
/** Milliseconds until both neighbours are connected; a ring that takes longer does without. */
const openMsMax = 5_000;

/** What carriers are made with. */
export interface CarrierGround {
  readonly place: Place;
  readonly server: RingServer;
  readonly link: GrpcLink;
  readonly self: Neighbour;
  readonly left: Neighbour;
  readonly right: Neighbour;
  readonly options: {
    readonly run: string;
    readonly generation: bigint;
    readonly ringKey: Uint8Array;
    readonly carriers?: CarrierAddon | null;
    readonly signal: AbortSignal;
  };
}

/** Lets the right neighbour pull; resolves when it does. */
function serve({ server, right, options }: CarrierGround): Promise<ServedPull> {
  const { run, generation, ringKey } = options;
  return new Promise((resolve) => {
    const attach = (call: ServedPull): void => {
      // Whether it is still there is the link's to notice.
      call.listen({ request: () => undefined, lost: () => undefined });
      call.accept();
      resolve(call);
    };
    const puller = right.workerId;
    server.expect({ run, generation, ringKey, lane: carrierLane, puller, attach });
  });
}

/** Pulls from the left neighbour; `open` resolves when it lets us in. */
function pull({ place, self, left, options }: CarrierGround): {
  readonly pulled: OpenedPull;
  readonly open: Promise<void>;
} {
  const { run, generation, ringKey } = options;
  const { workerId, hostId } = self;
  const early = (): never => {
    throw new RangeError("Cannot take a message before the carrier is open");
  };
  let accepted: () => void = () => undefined;
  let lost: (why: string) => void = () => undefined;
  const open = new Promise<void>((resolve, reject) => {
    accepted = resolve;
    lost = (why) => reject(new Error(why));
  });
  const pulled = new OpenedPull({
    address: left.ringAddress,
    tls: null,
    metadata: {
      [metadataNames.worker]: workerId,
      [metadataNames.generation]: String(generation),
      [metadataNames.proof]: makeRingProof(ringKey, { workerId, generation, lane: carrierLane }),
    },
    opening: create(PullRequestSchema, {
      run,
      generation,
      rank: place.rank,
      lane: carrierLane,
      hostId,
    }),
    frames: { bytesMax: messageBytesMax, take: early, message: early },
    accepted: () => accepted(),
    lost: (why) => lost(why),
  });
  return { pulled, open };
}

/** Takes both connections from node; null where that cannot be. */
function takeOver(
  addon: CarrierAddon,
  generation: bigint,
  { pulled, served }: { readonly pulled: OpenedPull; readonly served: ServedPull },
): object | null {
  const [inward, outward] = [pulled.handOver(), served.handOver()];
  if (inward === null || outward === null) return null;
  const { connectionBytes, streamBytes, frameBytesMax } = outward;
  // A message has to fit into a frame.
  if (frameBytesMax < prefixBytes + messageBytesMax) return null;
  return addon.openCarrier(
    inward.descriptor,
    outward.descriptor,
    inward.streamId,
    outward.streamId,
    Number(generation),
    connectionBytes,
    streamBytes,
    receiveWindowBytes / 4,
  );
}

/** This rank's carrier; null where not all ranks can have one. Rejects with LinkBroken, or with the signal's reason. */
export async function openCarrier(ground: CarrierGround): Promise<Carrier | null> {
  const { place, server, link, left, right, options } = ground;
  const { carriers: addon = null, generation, signal } = options;
  const can =
    addon !== null &&
    server.tls === null &&
    link.transport === "grpc" &&
    (await server.lanes.take()).length === 0;
  // Before anybody hears that all can: then the right neighbour comes.
  const serving = serve(ground);
  if (!(await allSay(place, can, signal)) || addon === null) return null;
  const { pulled, open } = pull(ground);
  let served: ServedPull | null = null;
  const close = (): void => {
    pulled.cancel();
    served?.destroy();
  };
  try {
    const inTime = signalWithin(signal, openMsMax);
    const both = Promise.all([serving, open]).then(([call]) => (served = call));
    const call = await abortable(both, inTime).catch(() => null);
    if (!(await allSay(place, call !== null, signal)) || call === null) {
      close();
      return null;
    }
    const thread = takeOver(addon, generation, { pulled, served: call });
    const allHave = await allSay(place, thread !== null, signal);
    if (thread !== null && allHave) {
      const ends = { left: left.workerId, right: right.workerId, lost: link.lost, close };
      return new Carrier(addon, thread, ends);
    }
    if (thread !== null) addon.closeCarrier(thread);
    close();
    return null;
  } catch (error) {
    close();
    throw error;
  }
}
