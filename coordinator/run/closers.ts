/** Whatever a run opens, closed in reverse order, each whether or not another fails. */
export class Closers {
  readonly #closers: (() => Promise<void> | void)[] = [];

  /** Adds what closes something that is now open. */
  add(close: () => Promise<void> | void): void {
    this.#closers.push(close);
  }

  /** Closes everything. @param onError told of what failed */
  async close(onError: (error: unknown) => void): Promise<void> {
    for (const close of this.#closers.splice(0).toReversed()) {
      try {
        await close();
      } catch (error) {
        onError(error);
      }
    }
  }
}
