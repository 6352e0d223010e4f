/** A bounded queue between one sender and one receiver: what a link needs of waiting, closing and cancelling. */
import { LinkBroken } from "./link.ts";

interface Waiter {
  wake(): void;
}

/** First in, first out; `push` waits while full, `shift` waits while empty. */
export class ChunkQueue<T> {
  readonly #limit: number;
  readonly #items: T[] = [];
  readonly #waiters = new Set<Waiter>();
  #closed: Error | null = null;

  /** @param limit items held before `push` waits */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Adds an item, where there is room before it returns. Rejects once closed, or with the signal's reason. */
  async push(item: T, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    const hasRoom = (): boolean => this.#items.length < this.#limit;
    if (!hasRoom()) await this.#until(hasRoom, signal);
    if (this.#closed !== null) throw this.#closed;
    this.#items.push(item);
    this.#wakeAll();
  }

  /** Takes the oldest item. What was queued before the queue was closed is still given out. */
  async shift(signal: AbortSignal): Promise<T> {
    await this.#until(() => this.#items.length > 0, signal);
    const item = this.#items.shift();
    if (item === undefined) throw this.#closed ?? new LinkBroken("link is closed");
    this.#wakeAll();
    return item;
  }

  /** Ends the queue: waiting calls reject with the reason. The first reason counts. */
  close(reason: Error): void {
    this.#closed ??= reason;
    this.#wakeAll();
  }

  #wakeAll(): void {
    for (const waiter of this.#waiters) waiter.wake();
  }

  async #until(ready: () => boolean, signal: AbortSignal): Promise<void> {
    while (!ready() && this.#closed === null) {
      signal.throwIfAborted();
      await new Promise<void>((resolve) => {
        const waiter = {
          wake: (): void => {
            this.#waiters.delete(waiter);
            signal.removeEventListener("abort", waiter.wake);
            resolve();
          },
        };
        this.#waiters.add(waiter);
        signal.addEventListener("abort", waiter.wake);
      });
    }
    signal.throwIfAborted();
  }
}
