/** A worker's lanes, over all generations: started when the first ring wants them, and done without where a network keeps them apart. */
import type { LaneSettings } from "./lane-messages.ts";
import { startLane, type Lane } from "./lane-thread.ts";

/** How a pool is made. */
export interface LanePoolOptions extends LaneSettings {
  /** How many lanes. */
  readonly count: number;
  /** Hears once why no lanes are used any more. */
  readonly onGivenUp: (reason: string) => void;
}

/** Starts lanes, and keeps them. */
export class LanePool {
  readonly #options: LanePoolOptions;
  #lanes: Promise<readonly Lane[]> | null = null;
  #isGivenUp = false;

  constructor(options: LanePoolOptions) {
    this.#options = options;
  }

  /** The lanes that could be started; none once they are given up. */
  async take(): Promise<readonly Lane[]> {
    if (this.#isGivenUp) return [];
    return await (this.#lanes ??= this.#start());
  }

  async #start(): Promise<readonly Lane[]> {
    const { count, onGivenUp: _given, ...settings } = this.#options;
    const starting = Array.from({ length: count }, () => startLane(settings));
    const settled = await Promise.allSettled(starting);
    return settled.flatMap((lane) => (lane.status === "fulfilled" ? [lane.value] : []));
  }

  /** Takes no lanes from the next ring on: each would wait for them again. */
  giveUp(reason: string): void {
    if (this.#isGivenUp) return;
    this.#isGivenUp = true;
    this.#options.onGivenUp(reason);
  }

  /** Ends all threads. */
  async close(): Promise<void> {
    this.#isGivenUp = true;
    const lanes = (await this.#lanes) ?? [];
    await Promise.all(lanes.map((lane) => lane.end()));
  }
}
