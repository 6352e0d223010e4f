/**
 * A ring of two has no way round: each rank's right neighbour is the one who needs what it has. So what all operands are needed
 * for at once (`../exact/owner-sums.ts`) takes the two hops, and the bytes, of an all-reduce:
 *
 *   hop 0   this rank's operand of what the other one makes      K/2 sent
 *   hop 1   what this rank has made                              K/2 sent
 */
import { copyBytes } from "../exact/arena.ts";
import type { DirectReduction, Shares, ShownOperand } from "../exact/owner-sums.ts";
import { fillParts } from "./collectives.ts";
import { LinkBroken, type Chunk, type Landing } from "./link.ts";
import { chunkBytesOf, sendWhile, settle, type Place, type Push } from "./ring-walk.ts";
import type { Segment } from "./segments.ts";

const hops = { operand: 0, made: 1 } as const;

/** What the two ranks of a ring can do. Throws RangeError for a ring of more. */
export function pairReduction(place: Place): DirectReduction {
  const { rank, rankCount } = place;
  if (rankCount !== 2) throw new RangeError(`Cannot reach ${rankCount} ranks over one link`);
  return {
    rank,
    rankCount,
    pieceBytes: (bytes) => chunkBytesOf(bytes / rankCount),
    makeShares: (shares, signal) => makeShares(place, shares, signal),
    fillParts: (parts, signal) => fillParts(place, parts, signal),
  };
}

/** A rank's piece of a round. */
interface Piece extends Segment {
  readonly round: number;
}

function piecesOf({ rounds }: Shares, rank: number): readonly Piece[] {
  return rounds.flatMap((ofRanks, round) => {
    const { start, end } = ofRanks[rank] ?? { start: 0, end: 0 };
    return end > start ? [{ round, start, end }] : [];
  });
}

function bytesOf(pieces: readonly Piece[]): number {
  return pieces.reduce((sum, { start, end }) => sum + end - start, 0);
}

async function makeShares(place: Place, shares: Shares, signal: AbortSignal): Promise<void> {
  const { rank, collective, link } = place;
  const { operand, target, givers } = shares;
  const other = 1 - rank;
  const [own, others] = [piecesOf(shares, rank), piecesOf(shares, other)];

  const exchange = async (push: Push): Promise<void> => {
    const send = (hop: number, bytes: Uint8Array, { start, end }: Piece): Promise<void> =>
      push({ hop, offset: start, data: bytes.subarray(start, end) });
    const make = (piece: Piece, shown: Uint8Array | null): Promise<void> => {
      const copyOf =
        (bytes: Uint8Array): ShownOperand =>
        (into, offset) =>
          copyBytes(into, bytes.subarray(offset, offset + into.byteLength));
      shares.make(piece.round, shown === null ? [] : [copyOf(shown)]);
      return send(hops.made, target, piece);
    };
    if (operand !== null) for (const piece of others) await send(hops.operand, operand, piece);
    const isShown = givers[other] === true;
    if (!isShown) for (const piece of own) await make(piece, null);
    const toMake = isShown ? [...own] : [];
    const toTake = [...others];
    while (toMake.length + toTake.length > 0) {
      const chunk = await link.receive(signal);
      const piece = (chunk.hop === hops.operand ? toMake : toTake).shift();
      checkPiece(chunk, collective, piece);
      if (chunk.hop === hops.operand) await make(piece, chunk.data);
      else {
        settle(target.subarray(piece.start, piece.end), chunk.data);
        place.onRound?.();
      }
    }
  };
  const bytes = bytesOf(own) + (operand === null ? 0 : bytesOf(others));
  const landing: Landing = ({ hop, offset, bytes: length }) => {
    const isPiece = others.some(
      ({ start, end }) => start === offset && end - start === length && hop === hops.made,
    );
    return isPiece ? target.subarray(offset, offset + length) : null;
  };
  await sendWhile(place, { bytes, landing, receive: exchange }, signal);
}

/** Throws LinkBroken for a chunk that is not the piece whose turn it is. */
function checkPiece(
  { collective, hop, offset, data }: Chunk,
  expected: number,
  piece: Piece | undefined,
): asserts piece is Piece {
  const isKnown = collective === expected && hop <= hops.made;
  const fits = offset === piece?.start && offset + data.byteLength === piece.end;
  if (!isKnown || !fits) {
    throw new LinkBroken(
      `Cannot take chunk of collective ${collective}, hop ${hop}, offset ${offset}, ${data.byteLength} bytes: ` +
        `expected ${piece?.start ?? "no"} to ${piece?.end ?? "more"} of collective ${expected}`,
    );
  }
}
