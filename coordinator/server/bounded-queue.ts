/**
 * The one queue between the gRPC handlers, which fill it, and the run, which reads it: bounded, first in, first out.
 */

/** A queue whose `put` waits while it is full and whose `take` waits while it is empty. */
export class BoundedQueue<Item> {
  readonly #items: Item[] = [];
  readonly #capacity: number;
  readonly #takers: ((item: Item) => void)[] = [];
  readonly #putters: (() => void)[] = [];

  /** @param capacity items that may wait at most */
  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** Items that wait now. */
  get size(): number {
    return this.#items.length;
  }

  /** Adds an item, past the limit if need be: for the few events that must never be lost (a worker's end). */
  force(item: Item): void {
    const taker = this.#takers.shift();
    if (taker === undefined) this.#items.push(item);
    else taker(item);
  }

  /** Adds an item once there is room. Rejects with the signal's reason when aborted. */
  async put(item: Item, signal: AbortSignal): Promise<void> {
    while (this.#items.length >= this.#capacity) {
      await waitIn(this.#putters, signal);
    }
    signal.throwIfAborted();
    this.force(item);
  }

  /** Removes the oldest item once there is one. Rejects with the signal's reason when aborted. */
  async take(signal: AbortSignal): Promise<Item> {
    signal.throwIfAborted();
    const item = this.tryTake();
    if (item !== undefined) return item;
    return waitIn(this.#takers, signal);
  }

  /** Removes the oldest item, or gives undefined when none waits. */
  tryTake(): Item | undefined {
    const item = this.#items.shift();
    if (item !== undefined) this.#putters.shift()?.();
    return item;
  }
}

/** Waits for somebody to call the function that is put into the list; leaves the list when aborted. */
function waitIn<Value>(waiting: ((value: Value) => void)[], signal: AbortSignal): Promise<Value> {
  return new Promise((resolve, reject) => {
    if (signal.aborted) {
      reject(signal.reason as Error);
      return;
    }
    const wake = (value: Value): void => {
      signal.removeEventListener("abort", abort);
      resolve(value);
    };
    const abort = (): void => {
      const position = waiting.indexOf(wake);
      if (position >= 0) waiting.splice(position, 1);
      reject(signal.reason as Error);
    };
    signal.addEventListener("abort", abort, { once: true });
    waiting.push(wake);
  });
}
