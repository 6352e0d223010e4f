/**
 * Which parts of a vector a program has written, as another thread sees it while the program runs: each part's mark is
 * set to the run's ticket, a number of its own, as soon as the part is there. What an abandoned run still marks bears
 * another ticket. Only for memory that TensorFlow writes to where it is (`shared-vector.ts`).
 */
import { alignedLength, allocateShared } from "./shared-vector.ts";

/** What a run is given to mark its parts with. */
export interface RunMarks {
  /** A mark for each part, in memory that threads share. */
  readonly marks: Int32Array;
  readonly ticket: number;
}

const ticketMax = 2 ** 31 - 1;

/** Marks a part, for what is written by JavaScript. */
export function markWritten({ marks, ticket }: RunMarks, part: number): void {
  Atomics.store(marks, part, ticket);
}

/** Marks all parts. */
export function markAllWritten({ marks, ticket }: RunMarks): void {
  marks.fill(ticket);
}

/** The marks of one run after the other. */
export class WriteMarks {
  readonly #marks: Int32Array;
  #ticket = 0;

  /** @param parts of the vectors that are written */
  constructor(parts: number) {
    const { buffer } = allocateShared(Math.max(1, parts));
    this.#marks = new Int32Array(buffer, 0, alignedLength(Math.max(1, parts)));
  }

  /** Begins a run, of which nothing is written yet. */
  begin(): RunMarks {
    this.#ticket = (this.#ticket % ticketMax) + 1;
    return { marks: this.#marks, ticket: this.#ticket };
  }

  /** Whether the run that was begun last has written a part; what it has written can be read then. */
  has(part: number): boolean {
    return Atomics.load(this.#marks, part) === this.#ticket;
  }
}
