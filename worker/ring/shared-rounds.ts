/**
 * How ranks that share memory keep step. Work is done in rounds, and each rank goes through three stages of every round:
 *
 *   publish   shows the others what they are to add up
 *   reduce    once all have published: adds up the own part and shows the result
 *   collect   once all have reduced: takes the others' results
 *
 * A board has two buffers of each kind, which alternate. A stage is done one round ahead of the next one, so that a rank
 * rarely waits:
 *
 *   publish 0 · publish 1 · reduce 0 · reduce 1 · collect 0 · publish 2 · reduce 2 · collect 1 · publish 3 · …
 *
 * Why two buffers do: round k + 2 is published after the own collect of round k, hence after all have reduced round k and
 * read what was published for it. Its results are shown after all have published round k + 2, hence after they have collected
 * round k.
 *
 * The signals are counters on the boards, a byte each. Who waits looks at them every 50 µs at first and less and less
 * often the longer it takes (a sixteenth of the wait so far, at most 2 ms): a rank that is still computing must keep its
 * processor.
 */
import { setImmediate as turn, setTimeout as pause } from "node:timers/promises";
import type { MemoryFiles } from "../exact/memory-files.ts";
import type { OtherBoard, OwnBoard } from "./shared-board.ts";

/** Boards of one host's ring. */
export interface Boards {
  readonly rank: number;
  readonly rankCount: number;
  readonly pieceBytes: number;
  readonly own: OwnBoard;
  /** By rank; null at the own one. */
  readonly others: readonly (OtherBoard | null)[];
  /** What all ranks can map each other's memory with; null where one cannot. */
  readonly files: MemoryFiles | null;
}

/** What a collective does at each stage of a round, numbered over the life of the ring. */
export interface Stages {
  publish?(round: number, index: number): void;
  reduce?(round: number, index: number): void;
  collect?(round: number, index: number): void;
}

const counters = { published: 0, reduced: 1 } as const;
type Counter = keyof typeof counters;

/** Counters are seen modulo 256; ranks are never more than a few rounds apart. */
const half = 128;
/** Rounds after which other work of the process gets its turn. */
const roundsPerTurn = 8;
/** Looks at the counters that come quickly one after the other, and the sleep between them in milliseconds. */
const quickLooks = 40;
const quickSleepMs = 0.05;
/** Longest sleep between two looks, in milliseconds. */
const sleepMsMax = 2;

/** Rounds of one ring, over all of its collectives. */
export class SharedRounds {
  readonly #boards: Boards;
  readonly #onRound: () => void;
  readonly #seen = new Uint8Array(2);
  readonly #sleeper = new Int32Array(new SharedArrayBuffer(4));
  #next = 0;
  #broken: Error | null = null;

  /** @param onRound hears of every round that is over */
  constructor(boards: Boards, onRound: () => void = () => undefined) {
    this.#boards = boards;
    this.#onRound = onRound;
  }

  /** Ends all waiting: a rank is gone. What it had finished still counts. */
  break(reason: Error): void {
    this.#broken ??= reason;
  }

  /** Does `count` rounds of a collective. Rejects with LinkBroken, or with the signal's reason. */
  async run(count: number, stages: Stages, signal: AbortSignal): Promise<void> {
    const first = this.#next;
    this.#next += count;
    const publish = (index: number): void => {
      if (index >= count) return;
      stages.publish?.(first + index, index);
      this.#count("published", first + index + 1);
    };
    const reduce = async (index: number): Promise<void> => {
      if (index >= count) return;
      await this.#reached("published", first + index + 1, signal);
      stages.reduce?.(first + index, index);
      this.#count("reduced", first + index + 1);
    };
    signal.throwIfAborted();
    publish(0);
    publish(1);
    await reduce(0);
    for (let index = 0; index < count; index++) {
      await reduce(index + 1);
      await this.#reached("reduced", first + index + 1, signal);
      stages.collect?.(first + index, index);
      this.#onRound();
      publish(index + 2);
      if ((index + 1) % roundsPerTurn === 0) await turn();
    }
  }

  #count(counter: Counter, value: number): void {
    this.#boards.files?.order();
    this.#boards.own.count(counters[counter], value);
  }

  /** Waits until a counter of all others has come to `value`. */
  async #reached(counter: Counter, value: number, signal: AbortSignal): Promise<void> {
    const waiting = new Set(this.#boards.others.filter((other) => other !== null));
    let waitedMs = 0;
    for (let look = 0; ; look++) {
      // Looked up before the counters are read: what a rank had finished before it left is there.
      const broken = this.#broken;
      for (const other of waiting) {
        other.readCounters(this.#seen);
        // A remainder would be negative once the value has left the counter's range.
        const ahead = ((this.#seen[counters[counter]] ?? 0) - value) & 255;
        if (ahead < half) waiting.delete(other);
      }
      if (waiting.size === 0) return;
      if (broken !== null) throw broken;
      signal.throwIfAborted();
      waitedMs += await this.#sleep(look, waitedMs);
    }
  }

  async #sleep(look: number, waitedMs: number): Promise<number> {
    if (look < quickLooks) {
      // Sleeps the thread for less than a timer can; what else the process has to do then gets its turn.
      Atomics.wait(this.#sleeper, 0, 0, quickSleepMs);
      await turn();
      return quickSleepMs;
    }
    const sleepMs = Math.min(sleepMsMax, Math.max(1, waitedMs / 16));
    await pause(sleepMs);
    return sleepMs;
  }
}
