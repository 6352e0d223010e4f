/**
 * Memory that a worker of this host lends: it is read where it lies, through `/proc`. Only processes of the same user can, and
 * what is opened is looked at before it is read, as numbers of processes and files are used again.
 */
import { constants } from "node:fs";
import { open, type FileHandle } from "node:fs/promises";
import type { LentMemory } from "../../proto/gen/ringmaster/v1/run_pb.ts";

/** Bytes that are read at a time: who abandons a state waits for no more. */
const pieceBytes = 16 * 1024 * 1024;

/** Lent memory is out of reach, or is not what was said of it. */
export class Unreadable extends Error {
  override readonly name = "Unreadable";
}

async function openLent({ processId, descriptor, device, inode }: LentMemory): Promise<FileHandle> {
  // What a number stands for may be a pipe by now, which would be waited for.
  const { O_RDONLY, O_NONBLOCK } = constants;
  const file = await open(`/proc/${processId}/fd/${descriptor}`, O_RDONLY | O_NONBLOCK);
  try {
    const found = await file.stat({ bigint: true });
    if (found.isFile() && found.dev === device && found.ino === inode) return file;
  } catch (error) {
    await file.close();
    throw error;
  }
  await file.close();
  throw new Error("it is another file than is meant");
}

/**
 * Fills `target` with a piece that is lent. Throws Unreadable where it cannot, or the signal's reason; what `target` holds then
 * is of no use, but nothing is written to it any more.
 */
export async function readLent(
  lent: LentMemory,
  target: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  try {
    const file = await openLent(lent);
    try {
      await fill(file, Number(lent.position), target, signal);
    } finally {
      await file.close();
    }
  } catch (error) {
    signal.throwIfAborted();
    const why = error instanceof Error ? error.message : String(error);
    throw new Unreadable(`Cannot read memory that process ${lent.processId} lends: ${why}`);
  }
}

async function fill(
  file: FileHandle,
  position: number,
  target: Uint8Array,
  signal: AbortSignal,
): Promise<void> {
  for (let filled = 0; filled < target.byteLength;) {
    signal.throwIfAborted();
    const piece = target.subarray(filled, filled + pieceBytes);
    const { bytesRead } = await file.read(piece, 0, piece.byteLength, position + filled);
    if (bytesRead === 0) throw new Error(`it ends after ${filled} of ${target.byteLength} bytes`);
    filled += bytesRead;
  }
}
