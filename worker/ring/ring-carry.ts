/**
 * A vector made round the ring: what all ranks have of an owner's bytes is added up on the way to him, and what he has made of it
 * goes round. The hops, and the bytes, are those of an all-reduce; each rank begins with what is to be its left neighbour's:
 *
 *   hops 0 … N−2        rank r receives what is to be owner r − 2 − h's, at the last one its own
 *   hops N−1 … 2N−3     rank r receives what owner r − 2 − h has made, at the first one its left neighbour
 *
 * What an owner tells besides follows the last of what he has made, as if it lay behind it.
 */
import type { Carried, CarryingRing } from "../exact/carried-sums.ts";
import { LinkBroken, type Chunk, type Landing } from "./link.ts";
import type { Carrier } from "./carrier.ts";
import type { CarryOrder, OrderedPiece } from "./carry-order.ts";
import { chunkBytesOf, cutChunks, sendWhile, settle, type Place, type Push } from "./ring-walk.ts";
import { hopsOfHalf, receivedSegment } from "./schedule.ts";
import type { Segment } from "./segments.ts";

/**
 * What the ranks of a ring can do.
 * @param carrier runs what it can instead of the link; all ranks have one or none has. Default none
 */
export function carryingOver(place: Place, carrier: Carrier | null = null): CarryingRing {
  const { rank, rankCount } = place;
  return {
    rank,
    rankCount,
    pieceBytes: (bytes) => chunkBytesOf(bytes / rankCount),
    carry: async (carried, signal) => {
      const order = carrier === null ? null : orderOf(place, carried);
      if (order === null || carrier?.takes(order) !== true) await carry(place, carried, signal);
      else await runOrder(place, carrier, order, signal);
    },
  };
}

/** Has a carrier run an order. Rejects as `Carrier.run` does. */
export async function runOrder(
  place: Place,
  carrier: Carrier,
  order: CarryOrder,
  signal: AbortSignal,
): Promise<void> {
  const { hopsMs } = await carrier.run(order, signal);
  const [endMs = 0] = hopsMs.slice(-1);
  for (const hopMs of hopsMs) place.onRound?.(endMs - hopMs);
  place.collective += 1;
}

/** What is carried, as a carrier is told of it; null where only JavaScript knows how it is added up. */
function orderOf(place: Place, carried: Carried): CarryOrder | null {
  const { sum } = carried;
  if (sum === null) return null;
  const { rank, rankCount, collective } = place;
  const half = hopsOfHalf(rankCount);
  const { begun, expected, told } = piecesAt(place, carried);
  const summed = ({ hop, round, owner, start, end, place: carriedTo }: Piece): OrderedPiece => {
    const isOwn = owner === rank;
    const blocks = sum.rounds[round]?.[owner];
    return {
      hop,
      kind: isOwn ? "own" : "add",
      offset: start,
      place: isOwn ? carried.target.subarray(start, end) : carriedTo,
      ...blocks,
    };
  };
  const placed = ({ hop, start, place: last }: Piece): OrderedPiece => ({
    hop,
    kind: "place",
    offset: start,
    place: last,
  });
  return {
    collective,
    half,
    sum,
    begun: begun.map(summed),
    expected: expected.map((piece) => (piece.hop < half ? summed(piece) : placed(piece))),
    told: told.map(placed),
  };
}

/** An owner's piece of a round, on its way. */
interface Piece extends Segment {
  readonly hop: number;
  /** As many as there are rounds for what he tells besides. */
  readonly round: number;
  readonly owner: number;
  /** Where it ends. */
  readonly place: Uint8Array;
}

/** Whose bytes a rank receives at a hop. The schedule leaves rank r with segment r + 1, which is to be rank r's. */
function ownerAt({ rank, rankCount }: Place, hop: number): number {
  return (receivedSegment(rank, rankCount, hop) + rankCount - 1) % rankCount;
}

/** What travels of an owner's bytes on their way to him, or `from` him. */
function piecesOf(
  { rounds, carried, target, told }: Carried,
  { hop, owner, from }: { readonly hop: number; readonly owner: number; readonly from: boolean },
): readonly Piece[] {
  const whole = from ? target : carried;
  const pieces = rounds.flatMap((owners, round) => {
    const { start, end } = owners[owner] ?? { start: 0, end: 0 };
    const place = whole.subarray(start, end);
    return end > start ? [{ hop, round, owner, start, end, place }] : [];
  });
  if (!from) return pieces;
  const further = cutChunks(told[owner] ?? new Uint8Array(0)).map(({ offset, data }) => {
    const start = target.byteLength + offset;
    return { hop, round: rounds.length, owner, start, end: start + data.byteLength, place: data };
  });
  return [...pieces, ...further];
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** What a rank begins with, what arrives, and what it sends behind the last that it has made of its own. */
function piecesAt(
  place: Place,
  carried: Carried,
): {
  readonly begun: readonly Piece[];
  readonly expected: readonly Piece[];
  readonly told: readonly Piece[];
} {
  const { rank, rankCount } = place;
  const half = hopsOfHalf(rankCount);
  const left = (rank + rankCount - 1) % rankCount;
  const begun = piecesOf(carried, { hop: 0, owner: left, from: false });
  const expected = Array.from({ length: 2 * half }, (_, hop) =>
    piecesOf(carried, { hop, owner: ownerAt(place, hop), from: hop >= half }),
  ).flat();
  const told = piecesOf(carried, { hop: half, owner: rank, from: true }).filter(
    ({ round }) => round === carried.rounds.length,
  );
  return { begun, expected, told };
}

async function carry(place: Place, carried: Carried, signal: AbortSignal): Promise<void> {
  const { rank, rankCount, link, collective } = place;
  const half = hopsOfHalf(rankCount);
  if (half === 0) return;
  const lastHop = 2 * half - 1;
  const { begun, expected, told } = piecesAt(place, carried);

  /** Takes in what has arrived, and gives what is to be passed on. */
  const take = (piece: Piece, data: Uint8Array): Piece => {
    const { hop, round, owner, place: end } = piece;
    if (hop >= half) {
      settle(end, data);
      return piece;
    }
    carried.add(round, owner, data);
    if (owner !== rank) return piece;
    return { ...piece, place: carried.target.subarray(piece.start, piece.end) };
  };
  const exchange = async (push: Push): Promise<void> => {
    const send = (hop: number, piece: Piece): Promise<void> =>
      push({ hop, offset: piece.start, data: piece.place });
    for (const piece of begun) {
      carried.add(piece.round, piece.owner, null);
      await send(0, piece);
    }
    for (const [index, piece] of expected.entries()) {
      const chunk = await link.receive(signal);
      checkPiece(chunk, collective, piece);
      const { hop } = piece;
      const taken = take(piece, chunk.data);
      if (hop < lastHop) await send(hop + 1, taken);
      if (expected[index + 1]?.hop === hop) continue;
      place.onRound?.();
      if (hop !== half - 1) continue;
      carried.made();
      for (const further of told) await send(half, further);
    }
  };
  const passedOn = expected.filter(({ hop }) => hop < lastHop);
  // What is on its way to an owner arrives where what he makes of it will: that cannot come before it has been passed on.
  const landingOf = ({ hop, owner, start, end, place: last }: Piece): Uint8Array | null => {
    if (hop >= half) return last;
    return owner === rank ? null : carried.target.subarray(start, end);
  };
  const bytes = bytesOf([...begun, ...passedOn, ...told]);
  const landing = landingOn(expected, landingOf);
  await sendWhile(place, { bytes, landing, receive: exchange }, signal);
}

/** Where pieces that arrive one after the other lie at once; what is not among them is left to the link. */
function landingOn(
  pieces: readonly Piece[],
  landingOf: (piece: Piece) => Uint8Array | null,
): Landing {
  let next = 0;
  return (head) => {
    const isMeant = (piece: Piece): boolean =>
      piece.hop === head.hop && piece.start === head.offset;
    let index = next;
    for (let piece = pieces[index]; piece !== undefined; piece = pieces[++index]) {
      if (!isMeant(piece)) continue;
      if (head.bytes !== piece.end - piece.start) return null;
      next = index + 1;
      return landingOf(piece);
    }
    return null;
  };
}

/** Throws LinkBroken for a chunk that is not the piece whose turn it is. */
function checkPiece(
  { collective, hop, offset, data }: Chunk,
  expected: number,
  piece: Piece,
): void {
  const isKnown = collective === expected && hop === piece.hop;
  if (!isKnown || offset !== piece.start || offset + data.byteLength !== piece.end) {
    throw new LinkBroken(
      `Cannot take chunk of collective ${collective}, hop ${hop}, offset ${offset}, ${data.byteLength} bytes: ` +
        `expected ${piece.start} to ${piece.end} of collective ${expected}, hop ${piece.hop}`,
    );
  }
}
