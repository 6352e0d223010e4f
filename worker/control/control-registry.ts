/**
 * The commands that a worker has been told of, by NATS or with a RunStep, whichever comes first: each acts once, at the
 * step that it names. Pure; one per worker.
 */
import { isControlVerb, type ControlVerb } from "../../proto/subjects.ts";

/** A command that the coordinator has accepted. */
export interface AcceptedCommand {
  readonly id: string;
  readonly verb: ControlVerb;
  /** First step that it concerns. */
  readonly step: number;
  /** The learning rate of `set-learning-rate`; 0 for the others. */
  readonly value: number;
}

/** What came in: a ControlCommand, as RunStep or NATS carry it. */
export interface ControlMessage {
  readonly id: string;
  readonly verb: string;
  readonly step: bigint;
  readonly value: number;
}

/** Ids remembered after they acted; a command is not repeated later than this many others. */
const idsKept = 1_000;
/** Commands that wait for their step; more are not taken from NATS (the coordinator repeats them with the step). */
const waitingMax = 1_000;

/** What became of a command that came in. */
export type Receipt = "new" | "known" | "refused";

/** Keeps commands until their step. */
export class ControlRegistry {
  readonly #waiting = new Map<string, AcceptedCommand>();
  readonly #acted = new Set<string>();

  /** Commands that wait for their step. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether the step that comes next waits for a `resume`. */
  get pausing(): boolean {
    const verbs = [...this.#waiting.values()].map(({ verb }) => verb);
    return verbs.findLast((verb) => verb === "pause" || verb === "resume") === "pause";
  }

  /** Takes a command in; one that waits or acted already changes nothing, one that makes no sense is refused. */
  receive(message: ControlMessage): Receipt {
    const { id, verb, value } = message;
    const step = Number(message.step);
    if (!isControlVerb(verb) || id === "" || !Number.isSafeInteger(step) || step < 0) {
      return "refused";
    }
    if (verb === "set-learning-rate" && !(value >= 0 && value <= 1)) return "refused";
    if (this.#acted.has(id) || this.#waiting.has(id)) return "known";
    if (this.#waiting.size >= waitingMax) return "refused";
    this.#waiting.set(id, { id, verb, step, value });
    return "new";
  }

  /**
   * The commands whose step has come, in order of step and of arrival; they count as acted from now on. Call it once
   * before a step begins, after the RunStep's own commands were received.
   */
  takeDue(step: number): readonly AcceptedCommand[] {
    const due = [...this.#waiting.values()].filter((command) => command.step <= step);
    // Stable: commands of one step keep their order of arrival.
    due.sort((left, right) => left.step - right.step);
    for (const { id } of due) {
      this.#waiting.delete(id);
      this.#acted.add(id);
    }
    for (const id of this.#acted) {
      if (this.#acted.size <= idsKept) break;
      this.#acted.delete(id);
    }
    return due;
  }
}
