/** The largest bytes of all ranks, at each place of a vector, as a carrier makes them: an all-reduce (`ring-walk.ts`), each segment one message. */
import type { Carrier } from "./carrier.ts";
import type { CarryOrder, OrderedPiece } from "./carry-order.ts";
import { runOrder } from "./ring-carry.ts";
import type { Place } from "./ring-walk.ts";
import { hopsOfHalf, receivedSegment, sentSegment } from "./schedule.ts";
import { cutSegments } from "./segments.ts";

/** What a carrier is told of it. Pure. */
export function maxOrder({ rank, rankCount, collective }: Place, bytes: Uint8Array): CarryOrder {
  const half = hopsOfHalf(rankCount);
  const segments = cutSegments(bytes.byteLength, rankCount);
  const pieceOf = (hop: number, kind: OrderedPiece["kind"], segment: number): OrderedPiece => {
    const { start, end } = segments[segment] ?? { start: 0, end: 0 };
    return { hop, kind, offset: start, place: bytes.subarray(start, end) };
  };
  const expected = Array.from({ length: 2 * half }, (_, hop) =>
    pieceOf(hop, hop < half ? "max" : "place", receivedSegment(rank, rankCount, hop)),
  );
  const begun = [pieceOf(0, "place", sentSegment(rank, rankCount, 0))];
  return { collective, half, sum: null, begun, expected, told: [] };
}

/** Keeps the largest byte of all ranks at each place, which have to lie in an arena. Rejects as `Carrier.run` does. */
export async function carryMax(
  place: Place,
  carrier: Carrier,
  bytes: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  await runOrder(place, carrier, maxOrder(place, bytes), signal);
}
