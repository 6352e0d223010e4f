/**
 * A board: a tmpfs file in which one worker shows the others of its host what they are to read. Its name is derived from
 * the ring key, only its owner writes, and it is unlinked as soon as all have opened it: nothing is left, whatever dies.
 *
 *   [ counters, what is told: a page ][ published 0 ][ published 1 ][ results 0 ][ results 1 ]
 *
 * Plain reads and writes move 7–10 GB/s through the page cache, so boards are not mapped: a full file system or a small one
 * is an error here, not a SIGBUS. What need not be shown on them at all is faster still (`told-places.ts`).
 */
import { closeSync, readSync, statfsSync, writeSync } from "node:fs";
import { LinkBroken } from "./link.ts";
import {
  createSharedFile,
  openSharedFile,
  removeName,
  type SharedFileKey,
} from "./shared-memory.ts";

const pageBytes = 4096;
/** Where on the first page is told what lies elsewhere: away from the counters, which others read all the time. */
const toldAt = 64;
/** Most bytes of a piece: a few of them fit the processor's caches, and a wait between two is rare. */
const pieceBytesMax = 1024 * 1024;
/** Least bytes of a piece for which sharing pays. */
const pieceBytesMin = 32 * 1024;
/** Bytes that all boards of a host may take together. */
const boardsBytesMax = 64 * 1024 * 1024;

/** Where things lie on a board of `rankCount` ranks. */
export interface BoardLayout {
  readonly rankCount: number;
  /** Bytes of the part of a segment that is worked on at a time: whole pages. */
  readonly pieceBytes: number;
}

function boardBytes({ rankCount, pieceBytes }: BoardLayout): number {
  return pageBytes + 2 * (rankCount + 1) * pieceBytes;
}

/**
 * Largest pieces for which the boards of all ranks take at most half of the free room; 0 when there is too little, or no
 * such folder.
 */
export function choosePieceBytes(folder: string, rankCount: number): number {
  let free: number;
  try {
    const { bavail, bsize } = statfsSync(folder);
    free = bavail * bsize;
  } catch {
    return 0;
  }
  const room = Math.min(boardsBytesMax, free / 2) / rankCount - pageBytes;
  const bytes = Math.min(pieceBytesMax, room / (2 * (rankCount + 1)));
  const whole = Math.floor(bytes / pageBytes) * pageBytes;
  return whole >= pieceBytesMin ? whole : 0;
}

/** A place on a board: one of the buffers that alternate round by round. */
export interface BoardPlace {
  readonly round: number;
  /** What is shown to the rank that adds it up, or a result that is shown to all. */
  readonly of: { readonly publishedTo: number } | "results";
  /** Bytes from the start of the piece. */
  readonly offset: number;
}

function positionOf(layout: BoardLayout, { round, of, offset }: BoardPlace): number {
  const { rankCount, pieceBytes } = layout;
  const turn = round % 2;
  const piece = of === "results" ? 2 * rankCount + turn : turn * rankCount + of.publishedTo;
  return pageBytes + piece * pieceBytes + offset;
}

/** The worker's own board. */
export class OwnBoard {
  readonly #file: string;
  readonly #descriptor: number;
  #layout: BoardLayout = { rankCount: 0, pieceBytes: 0 };
  #open = true;

  /** Makes an empty one. Throws when the file exists or cannot be made. */
  constructor(key: SharedFileKey, folder: string) {
    const { file, descriptor } = createSharedFile(key, folder);
    this.#file = file;
    this.#descriptor = descriptor;
  }

  /** Takes the room that the layout needs. Throws when it is not there. */
  reserve(layout: BoardLayout): void {
    this.#layout = layout;
    const zeros = new Uint8Array(Math.max(pageBytes, layout.pieceBytes));
    for (let at = 0; at < boardBytes(layout); at += zeros.byteLength) {
      const bytes = Math.min(zeros.byteLength, boardBytes(layout) - at);
      this.#write(zeros.subarray(0, bytes), at);
    }
  }

  /** Shows bytes. */
  show(place: BoardPlace, bytes: Uint8Array): void {
    this.#write(bytes, positionOf(this.#layout, place));
  }

  /** Sets a counter, a single byte: it can be read only whole. */
  count(index: number, value: number): void {
    this.#write(Uint8Array.of(value % 256), index);
  }

  /** Says where what is not on the board lies (`told-places.ts`). */
  tell(told: Uint8Array): void {
    this.#write(told, toldAt);
  }

  #write(bytes: Uint8Array, position: number): void {
    if (!this.#open) throw new LinkBroken("the ring is closed");
    const written = writeSync(this.#descriptor, bytes, 0, bytes.byteLength, position);
    if (written !== bytes.byteLength) {
      throw new Error(`Cannot write to shared memory: ${written} of ${bytes.byteLength} bytes fit`);
    }
  }

  /** Removes the name: all who are to read have opened it. */
  unlink(): void {
    removeName(this.#file);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.unlink();
    closeSync(this.#descriptor);
  }
}

/** Another worker's board. */
export class OtherBoard {
  readonly #descriptor: number;
  readonly #layout: BoardLayout;
  #open = true;

  /** Throws when it is not there or not ours. */
  constructor(key: SharedFileKey, folder: string, layout: BoardLayout) {
    const opened = openSharedFile(key, folder);
    if (opened === null) throw new Error("Cannot open a worker's board");
    this.#descriptor = opened.descriptor;
    this.#layout = layout;
  }

  /** Reads what is shown into `target`. */
  read(place: BoardPlace, target: Uint8Array): void {
    this.#read(target, positionOf(this.#layout, place));
  }

  /** Reads the counters from the first on. */
  readCounters(target: Uint8Array): void {
    this.#read(target, 0);
  }

  /** Reads what was told. */
  readTold(target: Uint8Array): void {
    this.#read(target, toldAt);
  }

  #read(target: Uint8Array, position: number): void {
    // A closed descriptor's number may be another file's by now.
    if (!this.#open) throw new LinkBroken("the ring is closed");
    const read = readSync(this.#descriptor, target, 0, target.byteLength, position);
    if (read !== target.byteLength) {
      throw new Error(`Cannot read shared memory: ${read} of ${target.byteLength} bytes are there`);
    }
  }

  close(): void {
    if (this.#open) closeSync(this.#descriptor);
    this.#open = false;
  }
}
