/**
 * Directives between the stream that receives them and the loop that carries them out, in order. What ends the work at
 * hand (a new ring, Finish, the end of the stream) is announced at once, ahead of its turn.
 */
import type { AttendResponse } from "../../proto/gen/ringmaster/v1/run_pb.ts";

/** What the coordinator says, as a tagged union. */
export type Directive = Exclude<AttendResponse["directive"], { case: undefined }>;

/** Why the work at hand is abandoned: a later directive, or the end of the session. */
export class Interrupted extends Error {
  override readonly name = "Interrupted";
}

/** The coordinator has ended the session, or is gone. */
export class SessionLost extends Error {
  override readonly name = "SessionLost";
}

function interrupts(directive: Directive): boolean {
  return directive.case === "formRing" || directive.case === "finish";
}

/** Filled by one stream, read by one loop. */
export class DirectiveQueue implements AsyncIterable<Directive> {
  readonly #waiting: Directive[] = [];
  readonly #limit: number;
  #interruption = new AbortController();
  #pendingInterrupts = 0;
  #lost: SessionLost | null = null;
  #wake: () => void = () => undefined;

  /** @param limit directives that may wait; more end the session */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Aborted when the directive that is being carried out is to be abandoned. Ask anew for every directive. */
  get interruption(): AbortSignal {
    return this.#interruption.signal;
  }

  /** Adds a directive. */
  push(directive: Directive): void {
    if (this.#waiting.length >= this.#limit) {
      this.fail(new SessionLost(`more than ${this.#limit} directives wait`));
      return;
    }
    this.#waiting.push(directive);
    if (interrupts(directive)) {
      this.#pendingInterrupts += 1;
      this.#interruption.abort(new Interrupted(`${directive.case} has arrived`));
    }
    this.#wake();
  }

  /** Ends the queue; the loop gets this error once it has read what is there. */
  fail(reason: SessionLost): void {
    this.#lost ??= reason;
    this.#interruption.abort(this.#lost);
    this.#wake();
  }

  /** Reads in order; ends only by SessionLost. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Directive> {
    for (;;) {
      const directive = this.#waiting.shift();
      if (directive !== undefined) {
        if (interrupts(directive)) this.#rearm();
        yield directive;
      } else if (this.#lost !== null) {
        throw this.#lost;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** The interrupting directive's turn has come: only a later one interrupts from here on. */
  #rearm(): void {
    this.#pendingInterrupts -= 1;
    if (this.#pendingInterrupts === 0 && this.#lost === null) {
      this.#interruption = new AbortController();
    }
  }
}
