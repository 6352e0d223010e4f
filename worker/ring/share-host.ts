/**
 * Whether all ranks of a ring can share memory, found out by all of them together: each says over the ring how large
 * pieces it has room for, makes its board, and opens the others'. If one cannot, none does. Whether they can map each other's own
 * memory besides is found out in the same way, by a probe that each tells of on its board.
 */
import type { Neighbour } from "./link-options.ts";
import type { Place } from "./collectives.ts";
import type { MemoryFiles } from "../exact/memory-files.ts";
import { choosePieceBytes, OtherBoard, OwnBoard } from "./shared-board.ts";
import type { Boards } from "./shared-rounds.ts";
import { allSay, leastOf } from "./vote.ts";
import { decodeTold, encodeTold, toldBytes } from "./told-places.ts";

/** What the agreement needs. */
export interface ShareHostOptions {
  readonly run: string;
  readonly generation: bigint;
  readonly ringKey: Uint8Array;
  /** Members in rank order. */
  readonly members: readonly Neighbour[];
  /** Folder for shared memory, or null to share none. */
  readonly folder: string | null;
  /** With what others' memory is mapped; null or absent where it cannot be. */
  readonly memoryFiles?: MemoryFiles | null;
  readonly signal: AbortSignal;
}

/** Boards of which nothing is known but that they may be closed. */
interface Opened {
  own: OwnBoard | null;
  readonly others: (OtherBoard | null)[];
}

function attempt(action: () => void): boolean {
  try {
    action();
    return true;
  } catch {
    // Whatever it was, the ring does without.
    return false;
  }
}

/** Maps what a rank has told of. Throws where it has told of nothing, or that cannot be mapped. */
function mapProbe(board: OtherBoard, files: MemoryFiles): void {
  const said = new Uint8Array(toldBytes);
  board.readTold(said);
  const told = decodeTold(said);
  if (told === null) throw new Error("Cannot map what is not there");
  files.map(told.file).close();
}

function closeAll({ own, others }: Opened): void {
  own?.close();
  for (const other of others) other?.close();
}

/** Boards of all ranks, or null when they do not all share a host, or there is no room. Every rank gets the same answer. */
export async function shareHost(place: Place, options: ShareHostOptions): Promise<Boards | null> {
  const { members, run, generation, ringKey, folder, signal } = options;
  const files = options.memoryFiles?.canMap === true ? options.memoryFiles : null;
  const { rank, rankCount } = place;
  if (rankCount === 1 || new Set(members.map(({ hostId }) => hostId)).size > 1) return null;
  const keyOf = (member: Neighbour) =>
    ({ run, generation, ringKey, writer: member.workerId, purpose: "board" }) as const;
  const opened: Opened = { own: null, others: [] };
  try {
    const room = folder === null ? 0 : choosePieceBytes(folder, rankCount);
    const pieceBytes = await leastOf(place, room, signal);
    if (pieceBytes === 0 || folder === null) return null;
    const layout = { rankCount, pieceBytes };
    const made = attempt(() => {
      const self = members[rank];
      if (self === undefined) throw new RangeError(`Cannot find member of rank ${rank}`);
      opened.own = new OwnBoard(keyOf(self), folder);
      opened.own.reserve(layout);
      if (files !== null)
        opened.own.tell(encodeTold({ file: files.probe, operandAt: null, resultAt: null }));
    });
    const allMade = await allSay(place, made, signal);
    const open =
      allMade &&
      attempt(() => {
        for (const [index, member] of members.entries()) {
          const other = index === rank ? null : new OtherBoard(keyOf(member), folder, layout);
          opened.others.push(other);
        }
      });
    const allOpen = await allSay(place, open, signal);
    if (!allOpen || opened.own === null) {
      closeAll(opened);
      return null;
    }
    opened.own.unlink();
    const maps =
      files !== null &&
      attempt(() => {
        for (const other of opened.others) if (other !== null) mapProbe(other, files);
      });
    const allMap = await allSay(place, maps, signal);
    const { own, others } = opened;
    return { rank, rankCount, pieceBytes, own, others, files: allMap ? files : null };
  } catch (error) {
    closeAll(opened);
    throw error;
  }
}
