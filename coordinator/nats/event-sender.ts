/**
 * Sends a run's events one after the other and never in the way of a step: `push` only queues. What NATS has not
 * acknowledged stays queued over an outage and goes out in order once the server is back, each event once.
 */
import { setTimeout as sleep } from "node:timers/promises";
import type { NatsConnection } from "nats";
import { abortable } from "../../foundation/abortable.ts";
import { EventQueue, type WaitingEvent } from "./event-queue.ts";
import { openEventStore, type EventStore } from "./event-store.ts";

/** Wait after the server refused or did not answer, in milliseconds. */
const retryMs = 250;

/** The running sender of one run. */
export class EventSender {
  readonly #run: string;
  readonly #say: (line: string) => void;
  readonly #queue: EventQueue;
  readonly #ending = new AbortController();
  readonly #running: Promise<void>;
  #connection: NatsConnection | null = null;
  #store: EventStore | null = null;
  /** The head, once it was sent without an answer: it may have arrived. */
  #unanswered: WaitingEvent | null = null;
  #said: string | null = null;
  #wake: () => void = () => undefined;
  /** Aborted when the connection that is used now is lost. */
  #lost = new AbortController();

  constructor(options: {
    readonly run: string;
    readonly say: (line: string) => void;
    readonly queue?: EventQueue;
  }) {
    this.#run = options.run;
    this.#say = options.say;
    this.#queue = options.queue ?? new EventQueue();
    this.#running = this.#pump();
  }

  /** Events that wait for the server. */
  get waiting(): number {
    return this.#queue.length;
  }

  /** Events that the server never got. */
  get dropped(): number {
    return this.#queue.dropped;
  }

  /** Whether the server keeps the history; null before this is known. */
  get history(): "jetstream" | "core" | null {
    return this.#store?.kind ?? null;
  }

  /** Queues an event. */
  push(waiting: WaitingEvent): void {
    this.#queue.push(waiting);
    this.#wake();
  }

  /** Tells the sender that the server is there (again). */
  connected(connection: NatsConnection): void {
    this.#connection = connection;
    this.#store = null;
    this /** Aborted when the connection that is used now is lost. */.#lost = new AbortController();
    this.#wake();
  }

  /** Tells the sender that the server is away. */
  away(): void {
    this.#connection = null;
    this.#store = null;
    this.#lost.abort(new Error("NATS is away"));
  }

  /** Waits until the queue is empty; returns whether it is (false when the signal came first). */
  async drain(signal: AbortSignal): Promise<boolean> {
    while (this.#queue.length > 0 && !signal.aborted) {
      await sleep(5, undefined, { signal }).catch(() => undefined);
    }
    return this.#queue.length === 0;
  }

  /** Stops sending; what is queued stays unsent. */
  async stop(): Promise<void> {
    this.#ending.abort();
    this.#lost.abort(new Error("NATS is away"));
    this.#wake();
    await this.#running;
  }

  async #pump(): Promise<void> {
    while (!this.#ending.signal.aborted) {
      const head = this.#queue.head();
      if (head === undefined || this.#connection === null) {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        continue;
      }
      try {
        await this.#send(head, this.#connection);
      } catch {
        // The head stays; the store is asked again, for the server may have come back empty.
        this.#store = null;
        await sleep(retryMs, undefined, { signal: this.#ending.signal }).catch(() => undefined);
      }
    }
  }

  async #send(head: WaitingEvent, connection: NatsConnection): Promise<void> {
    if (this.#store === null) {
      const store = await this.#unlessLost(openEventStore(connection, this.#run));
      const arrived =
        this.#unanswered === head && (await this.#unlessLost(store.lastId())) === head.event.id;
      if (store.remark !== null && store.remark !== this.#said) this.#say(store.remark);
      this.#said = store.remark;
      this.#store = store;
      if (arrived) {
        this.#settle(head);
        return;
      }
    }
    this.#unanswered = head;
    await this.#unlessLost(this.#store.put(head));
    this.#settle(head);
  }

  /** Rejects as soon as the server is away: nats.js lets the requests of a lost connection run into their timeouts. */
  async #unlessLost<T>(answer: Promise<T>): Promise<T> {
    return await abortable(answer, this.#lost.signal);
  }

  #settle(head: WaitingEvent): void {
    this.#unanswered = null;
    this.#queue.settle(head);
  }
}
