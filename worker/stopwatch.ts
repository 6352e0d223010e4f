/** Adds up where the time of a step went, and tells what is going on. */

/** Times named activities, one after the other. */
export class Stopwatch<Activity extends string> {
  readonly #spent = new Map<Activity, number>();
  readonly #nowMs: () => number;
  readonly #onActivity: (activity: Activity) => void;

  /** @param nowMs milliseconds of a clock that only goes forward @param onActivity hears each activity as it begins */
  constructor(nowMs: () => number, onActivity: (activity: Activity) => void) {
    this.#nowMs = nowMs;
    this.#onActivity = onActivity;
  }

  /** Runs something and adds its time to an activity, however it ends. */
  async time<Value>(activity: Activity, run: () => Promise<Value>): Promise<Value> {
    this.#onActivity(activity);
    const startedMs = this.#nowMs();
    try {
      return await run();
    } finally {
      this.#spent.set(activity, this.spentMs(activity) + this.#nowMs() - startedMs);
    }
  }

  /** Milliseconds spent so far. */
  spentMs(activity: Activity): number {
    return this.#spent.get(activity) ?? 0;
  }
}
