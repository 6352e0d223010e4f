/**
 * The events that NATS has not taken yet, in order and bounded. When an outage fills the queue the oldest step goes first:
 * there are many of those, and the rest of the story hangs on the others. Nothing is lost for good: `events.jsonl` has all.
 */
import type { EventKind } from "../../proto/subjects.ts";
import type { CloudEvent } from "./cloud-event.ts";

/** An event on its way. */
export interface WaitingEvent {
  readonly kind: EventKind;
  readonly event: CloudEvent;
}

/** Events kept at most; 10,000 of about a kilobyte each. */
export const eventsWaitingMax = 10_000;

/** First in, first out, with a bound. */
export class EventQueue {
  readonly #waiting: WaitingEvent[] = [];
  readonly #max: number;
  #dropped = 0;

  constructor(max: number = eventsWaitingMax) {
    if (!Number.isInteger(max) || max < 1) {
      throw new RangeError(`Cannot bound the event queue: current value is ${max}`);
    }
    this.#max = max;
  }

  /** Events that wait. */
  get length(): number {
    return this.#waiting.length;
  }

  /** Events that were dropped since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  /** The oldest event, or undefined. */
  head(): WaitingEvent | undefined {
    return this.#waiting[0];
  }

  /** Adds an event at the end; makes room first if there is none. */
  push(waiting: WaitingEvent): void {
    if (this.#waiting.length >= this.#max) {
      const step = this.#waiting.findIndex(({ kind }) => kind === "stepCommitted");
      this.#waiting.splice(Math.max(step, 0), 1);
      this.#dropped += 1;
    }
    this.#waiting.push(waiting);
  }

  /** Takes `waiting` out if it is still the head: it may have been dropped while it was on its way. */
  settle(waiting: WaitingEvent): void {
    if (this.#waiting[0] === waiting) this.#waiting.shift();
  }
}
