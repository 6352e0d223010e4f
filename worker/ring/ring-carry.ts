/**
 * A vector made round the ring: what all ranks have of an owner's bytes is added up on the way to him, and what he has made of it
 * goes round. The hops, and the bytes, are those of an all-reduce; each rank begins with what is to be its left neighbour's:
 *
 *   hops 0 … N−2        rank r receives what is to be owner r − 2 − h's, at the last one its own
 *   hops N−1 … 2N−3     rank r receives what owner r − 2 − h has made, at the first one its left neighbour
 */
import { copyBytes } from "../exact/arena.ts";
import type { Carried, CarryingRing } from "../exact/carried-sums.ts";
import type { ShownOperand } from "../exact/owner-sums.ts";
import { fillParts } from "./collectives.ts";
import { LinkBroken, type Chunk } from "./link.ts";
import { chunkBytesOf, sendWhile, type Place, type Push } from "./ring-walk.ts";
import { hopsOfHalf, receivedSegment } from "./schedule.ts";
import type { Segment } from "./segments.ts";

/** What the ranks of a ring can do. */
export function carryingOver(place: Place): CarryingRing {
  const { rank, rankCount } = place;
  return {
    rank,
    rankCount,
    pieceBytes: (bytes) => chunkBytesOf(bytes / rankCount),
    carry: (carried, signal) => carry(place, carried, signal),
    fillParts: (parts, signal) => fillParts(place, parts, signal),
  };
}

/** An owner's piece of a round, on its way. */
interface Piece extends Segment {
  readonly hop: number;
  readonly round: number;
  readonly owner: number;
}

/** Whose bytes a rank receives at a hop. The schedule leaves rank r with segment r + 1, which is to be rank r's. */
function ownerAt({ rank, rankCount }: Place, hop: number): number {
  return (receivedSegment(rank, rankCount, hop) + rankCount - 1) % rankCount;
}

function piecesOf({ rounds }: Carried, hop: number, owner: number): readonly Piece[] {
  return rounds.flatMap((owners, round) => {
    const { start, end } = owners[owner] ?? { start: 0, end: 0 };
    return end > start ? [{ hop, round, owner, start, end }] : [];
  });
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { start, end }) => sum + end - start, 0);
}

async function carry(place: Place, carried: Carried, signal: AbortSignal): Promise<void> {
  const { rank, rankCount, link } = place;
  const half = hopsOfHalf(rankCount);
  const lastHop = 2 * half - 1;
  const begun = half === 0 ? [] : piecesOf(carried, 0, (rank + rankCount - 1) % rankCount);
  const expected = Array.from({ length: 2 * half }, (_, hop) =>
    piecesOf(carried, hop, ownerAt(place, hop)),
  ).flat();

  /** Takes in what has arrived, and gives what is to be passed on. */
  const take = ({ hop, round, owner, start, end }: Piece, data: Uint8Array): Uint8Array => {
    const target = carried.target.subarray(start, end);
    if (hop >= half) {
      copyBytes(target, data);
      return target;
    }
    const arrived: ShownOperand = (into, offset) =>
      copyBytes(into, data.subarray(offset, offset + into.byteLength));
    carried.add(round, owner, arrived);
    return owner === rank ? target : carried.carried.subarray(start, end);
  };
  const exchange = async (push: Push): Promise<void> => {
    for (const { round, owner, start, end } of begun) {
      carried.add(round, owner, null);
      await push({ hop: 0, offset: start, data: carried.carried.subarray(start, end) });
    }
    for (const [index, piece] of expected.entries()) {
      const chunk = await link.receive(signal);
      checkPiece(chunk, place.collective, piece);
      const { hop, start } = piece;
      const data = take(piece, chunk.data);
      if (hop < lastHop) await push({ hop: hop + 1, offset: start, data });
      if (expected[index + 1]?.hop !== hop) place.onRound?.();
    }
  };
  const passedOn = expected.filter(({ hop }) => hop < lastHop);
  await sendWhile(place, bytesOf(begun) + bytesOf(passedOn), exchange, signal);
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
