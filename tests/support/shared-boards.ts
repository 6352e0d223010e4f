/** Ranks of one process that share boards of the host's memory, with pieces of any size. */
import type { MemoryFiles } from "../../worker/exact/memory-files.ts";
import { OtherBoard, OwnBoard } from "../../worker/ring/shared-board.ts";
import { SharedCollectives } from "../../worker/ring/shared-collectives.ts";
import { sharedMemoryFolder } from "../../foundation/host/host-id.ts";

let groups = 0;

/**
 * Boards of `rankCount` ranks, at least 2; close them all.
 * @param pieceBytes whole pages
 * @param files lets ranks read each other's arenas; by default they do not
 */
export function shareBoards(
  rankCount: number,
  pieceBytes: number,
  files: MemoryFiles | null = null,
): readonly SharedCollectives[] {
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
    return new SharedCollectives({ rank, rankCount, pieceBytes, own: board, others, files });
  });
  for (const board of own) board.unlink();
  return shared;
}
