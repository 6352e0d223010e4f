/** Ranks of one process that share boards of the host's memory, with pieces of any size. */
import { OtherBoard, OwnBoard } from "../../worker/ring/shared-board.ts";
import { SharedCollectives } from "../../worker/ring/shared-collectives.ts";
import { sharedMemoryFolder } from "../../worker/ring/shared-memory.ts";

let groups = 0;

/** Boards of `rankCount` ranks, at least 2; close them all. @param pieceBytes whole pages */
export function shareBoards(rankCount: number, pieceBytes: number): readonly SharedCollectives[] {
  groups += 1;
  const layout = { rankCount, pieceBytes };
  const keys = Array.from({ length: rankCount }, (_, rank) => ({
    ringKey: new Uint8Array(32).fill(7),
    run: `boards-${process.pid}-${groups}`,
    generation: 1n,
    writer: `worker-${rank}`,
    purpose: "board" as const,
  }));
  const own = keys.map((key) => new OwnBoard(key, sharedMemoryFolder));
  for (const board of own) board.reserve(layout);
  const shared = own.map((board, rank) => {
    const others = keys.map((key, of) =>
      of === rank ? null : new OtherBoard(key, sharedMemoryFolder, layout),
    );
    return new SharedCollectives({ rank, rankCount, pieceBytes, own: board, others });
  });
  for (const board of own) board.unlink();
  return shared;
}
