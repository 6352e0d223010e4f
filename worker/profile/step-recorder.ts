/** Notes what the main thread does in one step that is profiled, the ring's collectives and rounds among it. */
import type { CarryingRing } from "../exact/carried-sums.ts";
import type { DirectReduction } from "../exact/owner-sums.ts";
import type { Ring } from "../ring/ring.ts";
import { plainSpan, type Span } from "./span.ts";

/** What a step needs of a ring. */
export type StepRing = Pick<
  Ring,
  | "worldSize"
  | "sharesHost"
  | "sumIntegers"
  | "sumNarrow"
  | "scatterIntegers"
  | "sumFloats"
  | "maxBytes"
  | "allGather"
  | "direct"
  | "carrying"
  | "counters"
>;

/** One step's notes. */
export class StepRecorder {
  readonly step: number;
  /** When the step's turn came. */
  readonly originMs: number;
  readonly #nowMs: () => number;
  readonly #spans: Span[] = [];
  #reducedMs = 0;
  /** The collective under way: where its next round began, and how many are over. */
  #rounds: { fromMs: number; count: number } | null = null;

  /** Begins the step now. */
  constructor(step: number, nowMs: () => number) {
    this.step = step;
    this.#nowMs = nowMs;
    this.originMs = nowMs();
  }

  /** What was noted so far. */
  get spans(): readonly Span[] {
    return this.#spans;
  }

  /** Notes what the main thread did. */
  add(name: string, startMs: number, endMs: number, detail = ""): void {
    this.#spans.push(plainSpan("main", name, { startMs, endMs }, detail));
  }

  /** Does something and notes how long it took, however it ends. */
  async time<Value>(name: string, run: () => Promise<Value>, detail = ""): Promise<Value> {
    const startMs = this.#nowMs();
    try {
      return await run();
    } finally {
      this.add(name, startMs, this.#nowMs(), detail);
    }
  }

  /** The step's reduction has been reported: from here on the worker waits for the commit. */
  reduced(): void {
    this.#reducedMs = this.#nowMs();
  }

  /** The commit's turn has come, and its update has been applied. */
  applied(commitMs: number): void {
    this.add("wait for commit", this.#reducedMs, commitMs);
    this.add("update", commitMs, this.#nowMs());
  }

  /** A round of a collective, or a hop of it, is over, and has been for so many milliseconds. */
  round(agoMs = 0): void {
    if (this.#rounds === null) return;
    const now = this.#nowMs() - agoMs;
    this.add(`round ${this.#rounds.count}`, this.#rounds.fromMs, now);
    this.#rounds = { fromMs: now, count: this.#rounds.count + 1 };
  }

  /** The ring, with every collective noted. */
  watch(ring: StepRing): StepRing {
    const { worldSize, sharesHost } = ring;
    const collective = (name: string, bytes: number, run: () => Promise<void>): Promise<void> =>
      this.#collective(name, `${bytes} bytes`, run);
    return {
      worldSize,
      sharesHost,
      get counters() {
        return ring.counters;
      },
      sumIntegers: (vector, signal) =>
        collective("sum integers", vector.byteLength, () => ring.sumIntegers(vector, signal)),
      sumNarrow: (vector, bits, signal) =>
        collective("sum integers", (vector.length * bits) / 8, () =>
          ring.sumNarrow(vector, bits, signal),
        ),
      scatterIntegers: (vector, how, signal) =>
        collective("scatter integers", (vector.length * how.bits) / 8, () =>
          ring.scatterIntegers(vector, how, signal),
        ),
      sumFloats: (vector, signal) =>
        collective("sum floats", vector.byteLength, () => ring.sumFloats(vector, signal)),
      maxBytes: (bytes, signal) =>
        collective("agree on exponents", bytes.byteLength, () => ring.maxBytes(bytes, signal)),
      allGather: (own, sizes, signal) =>
        this.#collective("gather", `${own.byteLength} bytes own`, () =>
          ring.allGather(own, sizes, signal),
        ),
      direct: ring.direct === null ? null : this.#watchDirect(ring.direct),
      carrying: ring.carrying === null ? null : this.#watchCarrying(ring.carrying),
    };
  }

  #watchCarrying(carrying: CarryingRing): CarryingRing {
    return {
      ...carrying,
      carry: (carried, signal) =>
        this.#collective("carry sums", `${carried.target.byteLength} bytes`, () =>
          carrying.carry(carried, signal),
        ),
    };
  }

  #watchDirect(direct: DirectReduction): DirectReduction {
    const { rank, rankCount } = direct;
    return {
      rank,
      rankCount,
      pieceBytes: (bytes) => direct.pieceBytes(bytes),
      makeShares: (shares, signal) =>
        this.#collective("sum by owners", `${shares.target.byteLength} bytes`, () =>
          direct.makeShares(shares, signal),
        ),
      fillParts: (parts, signal) =>
        this.#collective("gather", `${parts[rank]?.byteLength ?? 0} bytes own`, () =>
          direct.fillParts(parts, signal),
        ),
    };
  }

  async #collective<Value>(
    name: string,
    detail: string,
    run: () => Promise<Value>,
  ): Promise<Value> {
    const startMs = this.#nowMs();
    this.#rounds = { fromMs: startMs, count: 1 };
    try {
      return await run();
    } finally {
      this.#rounds = null;
      this.add(name, startMs, this.#nowMs(), detail);
    }
  }
}
