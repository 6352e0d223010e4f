/**
 * What a rank shows the others of its host, and what they show: on boards, or, where ranks can map each other's arenas, in
 * place, with where it lies told on the board.
 */
import { placeInFile } from "../exact/arena.ts";
import type { ShownOperand } from "../exact/owner-sums.ts";
import { NeighbourMemory } from "./neighbour-memory.ts";
import type { Boards } from "./shared-rounds.ts";
import { encodeTold } from "./told-places.ts";

/** Payload bytes so far: what others have been shown to take, each of them, and what was taken from them. */
export interface SharedCounters {
  sentBytes: number;
  receivedBytes: number;
}

/** Bytes of a vector, from byte `at` of it on. */
export interface Part {
  readonly at: number;
  readonly bytes: Uint8Array;
}

/** The same bytes of several vectors' parts. */
export function placed(pieces: readonly Uint8Array[], at: number): readonly Part[] {
  return pieces.map((bytes) => ({ at, bytes }));
}

/** The display of one rank. */
export class Display {
  readonly counters: SharedCounters = { sentBytes: 0, receivedBytes: 0 };
  readonly #boards: Boards;
  /** By rank; null at the own one. */
  readonly #others: readonly (NeighbourMemory | null)[];
  /** Whether what this rank shows in this collective lies in memory that it has told of. */
  #tells: { readonly operand: boolean; readonly result: boolean } = {
    operand: false,
    result: false,
  };

  constructor(boards: Boards) {
    this.#boards = boards;
    this.#others = boards.others.map((board) => board && new NeighbourMemory(board, boards.files));
  }

  close(): void {
    this.#boards.own.close();
    for (const other of this.#others) other?.close();
  }

  /**
   * Tells the others where what this rank shows in a collective lies, as far as they can map that.
   * @param result what stays as it is until all ranks have it; null where it does not
   */
  tell(operand: ArrayBufferView | null, result: ArrayBufferView | null): void {
    if (this.#boards.files === null) return;
    const [given, made] = [operand && placeInFile(operand), result && placeInFile(result)];
    const file = given?.file ?? made?.file ?? null;
    const at = (place: typeof given): number | null =>
      place !== null && place.file === file ? place.position : null;
    const [operandAt, resultAt] = [at(given), at(made)];
    this.#tells = { operand: operandAt !== null, result: resultAt !== null };
    this.#boards.own.tell(encodeTold(file && { file, operandAt, resultAt }));
  }

  /** Hears where what the others show lies; once all have told. */
  hear(): void {
    if (this.#boards.files === null) return;
    for (const other of this.#others) other?.begin();
  }

  /** Begins a collective in which everything lies on boards. */
  keepToBoards(): void {
    this.#tells = { operand: false, result: false };
    for (const other of this.#others) other?.forget();
  }

  /**
   * What the others show to this rank in a round.
   * @param at byte of the vector that the round's piece begins with
   * @param givers which of them do, by rank; all by default
   */
  shown(round: number, at: number, givers: readonly boolean[] = []): readonly ShownOperand[] {
    return this.#others
      .filter((other, rank) => other !== null && givers[rank] !== false)
      .map((other) => (into, offset) => {
        other?.readOperand({ to: this.#boards.rank, round, at: at + offset, offset }, into);
        this.counters.receivedBytes += into.byteLength;
      });
  }

  /** Shows the others what they are to add up, by rank. */
  publish(round: number, pieces: readonly Part[]): void {
    for (const [rank, { bytes }] of pieces.entries()) {
      if (rank === this.#boards.rank || bytes.byteLength === 0) continue;
      if (!this.#tells.operand)
        this.#boards.own.show({ round, of: { publishedTo: rank }, offset: 0 }, bytes);
      this.counters.sentBytes += bytes.byteLength;
    }
  }

  /** Shows a result of this rank's. @param offset of the bytes in the round's piece */
  showResult(round: number, bytes: Uint8Array, offset: number): void {
    if (bytes.byteLength === 0) return;
    if (!this.#tells.result) this.#boards.own.show({ round, of: "results", offset }, bytes);
    this.counters.sentBytes += bytes.byteLength * (this.#boards.rankCount - 1);
  }

  /** Takes the others' results of a round, by rank. */
  takeResults(round: number, pieces: readonly Part[]): void {
    // Each rank begins with the one after it: two that read the same pages at a time would slow each other down.
    for (let step = 1; step < this.#boards.rankCount; step++) {
      const rank = (this.#boards.rank + step) % this.#boards.rankCount;
      const other = this.#others[rank] ?? null;
      const piece = pieces[rank];
      if (other === null || piece === undefined || piece.bytes.byteLength === 0) continue;
      other.readResult({ round, at: piece.at }, piece.bytes);
      this.counters.receivedBytes += piece.bytes.byteLength;
    }
  }
}
