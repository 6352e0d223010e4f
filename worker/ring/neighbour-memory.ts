/** What another rank of the host shows: on its board, or in memory of its own that it has told of. */
import type { MappedMemory, MemoryFile, MemoryFiles } from "../exact/memory-files.ts";
import { LinkBroken } from "./link.ts";
import type { OtherBoard } from "./shared-board.ts";
import { decodeTold, toldBytes, type ToldPlaces } from "./told-places.ts";

/** One other rank. */
export class NeighbourMemory {
  readonly #board: OtherBoard;
  readonly #files: MemoryFiles | null;
  readonly #said = new Uint8Array(toldBytes);
  #told: ToldPlaces | null = null;
  /** The file that was read last: a rank's vectors mostly lie in one. */
  #mapped: { readonly file: MemoryFile; readonly memory: MappedMemory } | null = null;

  /** @param files with which what is told of can be mapped; null where no rank tells of anything */
  constructor(board: OtherBoard, files: MemoryFiles | null) {
    this.#board = board;
    this.#files = files;
  }

  /** Looks up what the rank has told of the collective that it has begun. Throws LinkBroken for memory that cannot be mapped. */
  begin(): void {
    this.#board.readTold(this.#said);
    try {
      this.#told = decodeTold(this.#said);
      if (this.#told !== null) this.#map(this.#told.file);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new LinkBroken(`Cannot reach a neighbour's memory: ${why}`);
    }
  }

  /** Forgets it: in this collective all lies on the board. */
  forget(): void {
    this.#told = null;
  }

  /** Reads what it shows to rank `to`. @param at byte of the vector, which is byte `offset` of the round's piece */
  readOperand(
    { to, round, at, offset }: { to: number; round: number; at: number; offset: number },
    into: Uint8Array,
  ): void {
    const begin = this.#told?.operandAt ?? null;
    if (begin === null) this.#board.read({ round, of: { publishedTo: to }, offset }, into);
    else this.#mapped?.memory.read(begin + at, into);
  }

  /** Reads a result of a round. @param at byte of the vector that it begins with */
  readResult(
    { round, at }: { readonly round: number; readonly at: number },
    into: Uint8Array,
  ): void {
    const begin = this.#told?.resultAt ?? null;
    if (begin === null) this.#board.read({ round, of: "results", offset: 0 }, into);
    else this.#mapped?.memory.read(begin + at, into);
  }

  close(): void {
    this.#told = null;
    this.#mapped?.memory.close();
    this.#mapped = null;
    this.#board.close();
  }

  #map(file: MemoryFile): void {
    const { device, inode } = this.#mapped?.file ?? {};
    if (device === file.device && inode === file.inode) return;
    if (this.#files === null) throw new Error("nobody was to tell of any");
    this.#mapped?.memory.close();
    this.#mapped = null;
    this.#mapped = { file, memory: this.#files.map(file) };
  }
}
