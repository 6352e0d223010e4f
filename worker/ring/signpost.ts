/** Wakes all who wait for a change; they look for themselves what has changed. */
export class Signpost {
  #waiting = new Set<() => void>();

  /** Wakes everybody. */
  raise(): void {
    const waiting = this.#waiting;
    this.#waiting = new Set();
    for (const wake of waiting) wake();
  }

  /** Resolves at the next `raise`, or when the signal is aborted (the caller checks it). */
  async reached(signal: AbortSignal): Promise<void> {
    if (signal.aborted) return;
    await new Promise<void>((resolve) => {
      const wake = (): void => {
        signal.removeEventListener("abort", wake);
        this.#waiting.delete(wake);
        resolve();
      };
      this.#waiting.add(wake);
      signal.addEventListener("abort", wake);
    });
  }
}
