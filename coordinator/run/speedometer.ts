/** Speed and time left, from the last steps' commits. Pure but for what it remembers. */

const windowSteps = 20;

interface Mark {
  readonly atMs: number;
  readonly samples: number;
}

/** Keeps the times of the last steps. */
export class Speedometer {
  readonly #marks: Mark[] = [];

  /** Takes a committed step; gives the milliseconds since the one before, or null after a pause. */
  step(atMs: number, samples: number): number | null {
    const last = this.#marks.at(-1);
    this.#marks.push({ atMs, samples });
    if (this.#marks.length > windowSteps) this.#marks.shift();
    return last === undefined ? null : atMs - last.atMs;
  }

  /** Something other than steps went on: the time since the last step says nothing. */
  pause(): void {
    this.#marks.length = 0;
  }

  /** Samples per second over the last steps; null before there are two. */
  get samplesPerSecond(): number | null {
    const [first, ...rest] = this.#marks;
    const last = rest.at(-1);
    if (first === undefined || last === undefined || last.atMs <= first.atMs) return null;
    const samples = rest.reduce((sum, mark) => sum + mark.samples, 0);
    return (1000 * samples) / (last.atMs - first.atMs);
  }

  /** Milliseconds that this many steps will take at the present pace; null before there are two. */
  timeOf(steps: number): number | null {
    const first = this.#marks[0];
    const last = this.#marks.at(-1);
    if (first === undefined || last === undefined || this.#marks.length < 2) return null;
    return (steps * (last.atMs - first.atMs)) / (this.#marks.length - 1);
  }
}
