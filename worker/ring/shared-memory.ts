/**
 * Payloads between two workers of one host: a tmpfs file of fixed slots, written by the left neighbour and read by the
 * right one; the gRPC message is the signal and an acknowledgement frees the slot. Its name is derived by both sides
 * from the ring key, and it is unlinked as soon as both have opened it, so nothing is left whatever dies.
 */
import { createHmac } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  openSync,
  readSync,
  statfsSync,
  unlinkSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { ringChunkBytes } from "../../proto/limits.ts";

/** Slots of one link, one chunk each: 16 MiB, four links fit a container's default 64 MiB. */
export const slotCount = 4;

/** What the processes that share a file know, and nobody else: it names the file. */
export interface SharedFileKey {
  readonly ringKey: Uint8Array;
  readonly run: string;
  readonly generation: bigint;
  /** Worker id of who writes. */
  readonly writer: string;
  /** `link`: slots for the right neighbour; `board`: what all ranks of a host read. */
  readonly purpose: "link" | "board";
}

function fileOf(key: SharedFileKey, folder: string): string {
  const mac = createHmac("sha256", key.ringKey);
  mac.update(`shared memory\0${key.purpose}\0${key.run}\0${key.generation}\0${key.writer}`);
  return join(folder, `ringmaster-${mac.digest("hex").slice(0, 32)}`);
}

/** Makes a file that only this user's processes can open. Throws when it exists or cannot be made. */
export function createSharedFile(
  key: SharedFileKey,
  folder: string,
): { readonly file: string; readonly descriptor: number } {
  const file = fileOf(key, folder);
  const { O_CREAT, O_EXCL, O_RDWR, O_NOFOLLOW } = constants;
  return { file, descriptor: openSync(file, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW, 0o600) };
}

/** Opens a file that another process has made. Null when it is not there or not of this user. */
export function openSharedFile(
  key: SharedFileKey,
  folder: string,
): { readonly file: string; readonly descriptor: number } | null {
  const file = fileOf(key, folder);
  let descriptor: number;
  try {
    descriptor = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch {
    return null;
  }
  const stat = fstatSync(descriptor);
  if (stat.isFile() && (process.getuid === undefined || stat.uid === process.getuid())) {
    return { file, descriptor };
  }
  closeSync(descriptor);
  return null;
}

/** Removes a file's name, if it is still there. */
export function removeName(file: string): void {
  try {
    unlinkSync(file);
  } catch {
    // The other side was first.
  }
}

/** Whether the folder can take a file of this kind: it exists and has room for two. */
export function hasRoom(folder: string): boolean {
  try {
    const { bavail, bsize } = statfsSync(folder);
    return bavail * bsize >= 2 * slotCount * ringChunkBytes;
  } catch {
    return false;
  }
}

/** The writer's end. */
export interface SharedWriter {
  /** Copies a payload of at most `ringChunkBytes` into the slot of the chunk with this number (from 0). */
  write(chunkNumber: number, data: Uint8Array): void;
  /** Removes the file's name if the reader has not done so, and lets go of the memory. */
  close(): void;
}

/** Makes the file. Throws when it exists or cannot be made; the caller then sends payloads by gRPC. */
export function createSharedWriter(key: SharedFileKey, folder: string): SharedWriter {
  const { file, descriptor } = createSharedFile(key, folder);
  let open = true;
  return {
    write(chunkNumber, data) {
      const position = (chunkNumber % slotCount) * ringChunkBytes;
      const written = writeSync(descriptor, data, 0, data.byteLength, position);
      if (written !== data.byteLength) {
        throw new Error(
          `Cannot write to shared memory: ${written} of ${data.byteLength} bytes fit`,
        );
      }
    },
    close() {
      if (!open) return;
      open = false;
      removeName(file);
      closeSync(descriptor);
    },
  };
}

/** The reader's end. */
export interface SharedReader {
  /** Copies the payload of a chunk out of its slot into the front of `target`. */
  read(chunkNumber: number, bytes: number, target: Uint8Array): void;
  close(): void;
}

/** Opens the file that the left neighbour has made, and removes its name. Null when it is not there or not ours. */
export function openSharedReader(key: SharedFileKey, folder: string): SharedReader | null {
  const opened = openSharedFile(key, folder);
  if (opened === null) return null;
  const { descriptor } = opened;
  removeName(opened.file);
  let open = true;
  return {
    read(chunkNumber, bytes, target) {
      const position = (chunkNumber % slotCount) * ringChunkBytes;
      const read = readSync(descriptor, target, 0, bytes, position);
      if (read !== bytes)
        throw new Error(`Cannot read shared memory: ${read} of ${bytes} bytes are there`);
    },
    close() {
      if (open) closeSync(descriptor);
      open = false;
    },
  };
}
