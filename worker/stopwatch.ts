/** Adds up where the time of a step went, and tells what is going on. */

/** Who hears of activities. */
export interface Hearing<Activity extends string> {
  /** One begins. */
  readonly onActivity: (activity: Activity) => void;
  /** One is over. */
  readonly onSpent?: (activity: Activity, startMs: number, endMs: number, detail: string) => void;
}

/** Times named activities, one after the other. */
export class Stopwatch<Activity extends string> {
  readonly #spent = new Map<Activity, number>();
  readonly #nowMs: () => number;
  readonly #hearing: Hearing<Activity>;

  /** @param nowMs milliseconds of a clock that only goes forward */
  constructor(nowMs: () => number, hearing: Hearing<Activity>) {
    this.#nowMs = nowMs;
    this.#hearing = hearing;
  }

  /** Runs something and adds its time to an activity, however it ends. @param detail for whoever hears of it */
  async time<Value>(activity: Activity, run: () => Promise<Value>, detail = ""): Promise<Value> {
    this.#hearing.onActivity(activity);
    const startedMs = this.#nowMs();
    try {
      return await run();
    } finally {
      const endedMs = this.#nowMs();
      this.#spent.set(activity, this.spentMs(activity) + endedMs - startedMs);
      this.#hearing.onSpent?.(activity, startedMs, endedMs, detail);
    }
  }

  /** Counts time that was spent on one activity for another. */
  move(from: Activity, to: Activity, ms: number): void {
    this.#spent.set(from, this.spentMs(from) - ms);
    this.#spent.set(to, this.spentMs(to) + ms);
  }

  /** Milliseconds spent so far. */
  spentMs(activity: Activity): number {
    return this.#spent.get(activity) ?? 0;
  }
}
