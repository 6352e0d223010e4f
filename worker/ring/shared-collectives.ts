/**
 * The collectives of ranks that all share one host's memory. Each rank adds up its own segment straight from what the
 * others show, and takes their segments straight from them. A ring of N − 1 hops would copy every byte N − 1 times; here a
 * worker writes and reads, for K bytes and N ranks:
 *
 *   published for the others    K (N−1)/N written        read from the others   K (N−1)/N
 *   the own result              K/N written              read from the others   K (N−1)/N
 *
 * Where ranks can map each other's arenas, nothing is written to be shown: a rank tells where its vector lies, and the others read
 * that. Results are read from there only if whoever made them leaves them alone until all have them (`makeShares`).
 *
 * Vectors go in rounds of a piece of every segment, so boards stay small and what is read lies in the processor's caches.
 */
import { combineInto, type Combination } from "./accumulate.ts";
import { checkSegments, checkSizes } from "./check-parts.ts";
import type { Collectives, Vector } from "./collectives.ts";
import { Display, placed, type Part, type SharedCounters } from "./display.ts";
import { LinkBroken, type Link } from "./link.ts";
import { cutSegments, type Segment } from "./segments.ts";
import { SharedRounds, type Boards } from "./shared-rounds.ts";
import type { DirectReduction, Shares } from "../exact/owner-sums.ts";

function bytesOf(vector: Vector): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** The collectives over boards. */
export class SharedCollectives implements Collectives, DirectReduction {
  readonly rank: number;
  readonly rankCount: number;
  readonly #boards: Boards;
  readonly #rounds: SharedRounds;
  readonly #display: Display;

  /** @param onRound hears of every round that is over */
  constructor(boards: Boards, onRound?: () => void) {
    this.#boards = boards;
    this.#rounds = new SharedRounds(boards, onRound);
    this.#display = new Display(boards);
    this.rank = boards.rank;
    this.rankCount = boards.rankCount;
  }

  get counters(): Readonly<SharedCounters> {
    return this.#display.counters;
  }

  /** Watches the link of a ring that sends nothing any more: it breaks when the left neighbour leaves. */
  watch(link: Link): void {
    link.receive(new AbortController().signal).then(
      () => this.break(new LinkBroken("a neighbour sent a chunk though memory is shared")),
      (error: unknown) => this.break(error instanceof Error ? error : new LinkBroken("gone")),
    );
  }

  /** Ends all waiting: a rank is gone, or the ring is closed. */
  break(reason: Error): void {
    this.#rounds.break(reason);
  }

  /** Lets go of the memory; after `break`, when no call is under way. */
  close(): void {
    this.#display.close();
  }

  async allReduce<V extends Vector>(
    vector: V,
    combination: Combination<V>,
    signal: AbortSignal,
  ): Promise<void> {
    const segments = cutSegments(vector.length, this.rankCount);
    await this.#walk(vector, { combination, gather: true, segments }, signal);
  }

  async reduceScatter<V extends Vector>(
    vector: V,
    combination: Combination<V>,
    signal: AbortSignal,
  ): Promise<Segment> {
    const segments = cutSegments(vector.length, this.rankCount);
    const segment = segments[this.rank];
    if (segment === undefined) throw new RangeError(`Cannot own a segment as rank ${this.rank}`);
    await this.#walk(vector, { combination, gather: false, segments }, signal);
    return segment;
  }

  async scatterTo<V extends Vector>(
    vector: V,
    combination: Combination<V>,
    segments: readonly Segment[],
    signal: AbortSignal,
  ): Promise<void> {
    checkSegments(segments, vector, this.rankCount);
    await this.#walk(vector, { combination, gather: false, segments }, signal);
  }

  async allGatherSegments(vector: Vector, signal: AbortSignal): Promise<void> {
    const segments = cutSegments(vector.length, this.rankCount);
    await this.#walk(vector, { combination: null, gather: true, segments }, signal);
  }

  async allGather(
    own: Uint8Array,
    sizes: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]> {
    checkSizes(own, sizes, this);
    const parts = sizes.map((size, rank) => (rank === this.rank ? own : new Uint8Array(size)));
    await this.fillParts(parts, signal);
    return parts;
  }

  async broadcast(bytes: Uint8Array, root: number, signal: AbortSignal): Promise<void> {
    const nothing = new Uint8Array(0);
    const parts = Array.from({ length: this.rankCount }, (_, rank) =>
      rank === root ? bytes : nothing,
    );
    await this.fillParts(parts, signal);
  }

  async barrier(signal: AbortSignal): Promise<void> {
    await this.#rounds.run(1, {}, signal);
  }

  /** Shows the own part and fills the others', piece by piece. */
  async fillParts(parts: readonly Uint8Array[], signal: AbortSignal): Promise<void> {
    const { pieceBytes } = this.#boards;
    const rounds = Math.max(...parts.map((part) => Math.ceil(part.byteLength / pieceBytes)));
    const pieces = (index: number): readonly Uint8Array[] =>
      parts.map((part) => part.subarray(index * pieceBytes, (index + 1) * pieceBytes));
    await this.#rounds.run(
      rounds,
      {
        publish: (_, index) => {
          if (index === 0) this.#display.keepToBoards();
        },
        reduce: (round, index) => {
          const piece = pieces(index)[this.rank];
          if (piece !== undefined) this.#display.showResult(round, piece, 0);
        },
        collect: (round, index) =>
          this.#display.takeResults(round, placed(pieces(index), index * pieceBytes)),
      },
      signal,
    );
  }

  pieceBytes(): number {
    return this.#boards.pieceBytes;
  }

  async makeShares(shares: Shares, signal: AbortSignal): Promise<void> {
    const { operand, target, rounds } = shares;
    const partsOf = (bytes: Uint8Array, index: number): readonly Part[] =>
      (rounds[index] ?? []).map(({ start, end }) => ({
        at: start,
        bytes: bytes.subarray(start, end),
      }));
    await this.#rounds.run(
      rounds.length,
      {
        publish: (round, index) => {
          if (index === 0) this.#display.tell(operand, target);
          if (operand !== null) this.#display.publish(round, partsOf(operand, index));
        },
        reduce: (round, index) => {
          if (index === 0) this.#display.hear();
          const own = partsOf(target, index)[this.rank];
          shares.make(index, this.#display.shown(round, own?.at ?? 0, shares.givers));
          if (own !== undefined) this.#display.showResult(round, own.bytes, 0);
        },
        collect: (round, index) => this.#display.takeResults(round, partsOf(target, index)),
      },
      signal,
    );
  }

  async #walk<V extends Vector>(
    vector: V,
    halves: {
      readonly combination: Combination<V> | null;
      readonly gather: boolean;
      readonly segments: readonly Segment[];
    },
    signal: AbortSignal,
  ): Promise<void> {
    const { combination, gather, segments } = halves;
    const width = vector.BYTES_PER_ELEMENT;
    const bytes = bytesOf(vector);
    const { pieceBytes } = this.#boards;
    const longest = Math.max(...segments.map(({ start, end }) => end - start));
    const rounds = Math.ceil((longest * width) / pieceBytes);
    const pieces = (index: number): readonly Part[] =>
      segments.map(({ start, end }) => {
        const at = Math.min(start * width + index * pieceBytes, end * width);
        return { at, bytes: bytes.subarray(at, Math.min(at + pieceBytes, end * width)) };
      });
    await this.#rounds.run(
      rounds,
      {
        publish: (round, index) => {
          if (index === 0 && combination === null) this.#display.keepToBoards();
          if (combination === null) return;
          // Whoever has all results goes on and writes over them, while others may still be taking theirs.
          if (index === 0) this.#display.tell(vector, null);
          this.#display.publish(round, pieces(index));
        },
        reduce: (round, index) => {
          if (index === 0 && combination !== null) this.#display.hear();
          const own = pieces(index)[this.rank];
          if (own === undefined) return;
          if (combination !== null) {
            this.#reduce(own, { combination, round, show: gather });
          } else {
            this.#display.showResult(round, own.bytes, 0);
          }
        },
        collect: (round, index) => {
          if (gather) this.#display.takeResults(round, pieces(index));
        },
      },
      signal,
    );
  }

  #reduce<V extends Vector>(
    { bytes, at }: Part,
    how: {
      readonly combination: Combination<V>;
      readonly round: number;
      readonly show: boolean;
    },
  ): void {
    const { round } = how;
    combineInto(bytes, how.combination, this.#display.shown(round, at), (piece, offset) => {
      if (how.show) this.#display.showResult(round, piece, offset);
    });
  }
}
