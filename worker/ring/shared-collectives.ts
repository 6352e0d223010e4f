/**
 * The collectives of ranks that all share one host's memory. Each rank adds up its own segment straight from what the
 * others show, and takes their segments straight from them. A ring of N − 1 hops would copy every byte N − 1 times; here a
 * worker writes and reads, for K bytes and N ranks:
 *
 *   published for the others    K (N−1)/N written        read from the others   K (N−1)/N
 *   the own result              K/N written              read from the others   K (N−1)/N
 *
 * Vectors go in rounds of a piece of every segment, so boards stay small and what is read lies in the processor's caches.
 */
import { combineInto, type Combination } from "./accumulate.ts";
import { checkSegments, checkSizes } from "./check-parts.ts";
import type { Collectives, Vector } from "./collectives.ts";
import { LinkBroken, type Link } from "./link.ts";
import { cutSegments, type Segment } from "./segments.ts";
import { SharedRounds, type Boards } from "./shared-rounds.ts";
import type { DirectReduction, Shares, ShownOperand } from "../exact/owner-sums.ts";

/** Payload bytes so far: what others have been shown to take, each of them, and what was taken from them. */
export interface SharedCounters {
  sentBytes: number;
  receivedBytes: number;
}

function bytesOf(vector: Vector): Uint8Array {
  return new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength);
}

/** The collectives over boards. */
export class SharedCollectives implements Collectives, DirectReduction {
  readonly rank: number;
  readonly rankCount: number;
  readonly counters: SharedCounters = { sentBytes: 0, receivedBytes: 0 };
  readonly #boards: Boards;
  readonly #rounds: SharedRounds;

  /** @param onRound hears of every round that is over */
  constructor(boards: Boards, onRound?: () => void) {
    this.#boards = boards;
    this.#rounds = new SharedRounds(boards, onRound);
    this.rank = boards.rank;
    this.rankCount = boards.rankCount;
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
    this.#boards.own.close();
    for (const other of this.#boards.others) other?.close();
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
        reduce: (round, index) => {
          const piece = pieces(index)[this.rank];
          if (piece !== undefined) this.#showResult(round, piece, 0);
        },
        collect: (round, index) => this.#takeResults(round, pieces(index)),
      },
      signal,
    );
  }

  pieceBytes(): number {
    return this.#boards.pieceBytes;
  }

  async makeShares(shares: Shares, signal: AbortSignal): Promise<void> {
    const { operand, target, rounds } = shares;
    const partsOf = (bytes: Uint8Array, index: number): readonly Uint8Array[] =>
      (rounds[index] ?? []).map(({ start, end }) => bytes.subarray(start, end));
    await this.#rounds.run(
      rounds.length,
      {
        publish: (round, index) => {
          if (operand !== null) this.#publish(round, partsOf(operand, index));
        },
        reduce: (round, index) => {
          shares.make(index, this.#shown(round, shares.givers));
          const own = partsOf(target, index)[this.rank];
          if (own !== undefined) this.#showResult(round, own, 0);
        },
        collect: (round, index) => this.#takeResults(round, partsOf(target, index)),
      },
      signal,
    );
  }

  /** What the others show to this rank in a round. @param givers which of them do, by rank; all by default */
  #shown(round: number, givers: readonly boolean[] = []): readonly ShownOperand[] {
    const of = { publishedTo: this.rank };
    return this.#boards.others
      .filter((other, rank) => other !== null && givers[rank] !== false)
      .map((other) => (into, offset) => {
        other?.read({ round, of, offset }, into);
        this.counters.receivedBytes += into.byteLength;
      });
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
    const pieces = (index: number): readonly Uint8Array[] =>
      segments.map(({ start, end }) => {
        const from = Math.min(start * width + index * pieceBytes, end * width);
        return bytes.subarray(from, Math.min(from + pieceBytes, end * width));
      });
    await this.#rounds.run(
      rounds,
      {
        publish: (round, index) => {
          if (combination !== null) this.#publish(round, pieces(index));
        },
        reduce: (round, index) => {
          const own = pieces(index)[this.rank];
          if (own === undefined) return;
          if (combination !== null) {
            this.#reduce(own, { combination, round, show: gather });
          } else {
            this.#showResult(round, own, 0);
          }
        },
        collect: (round, index) => {
          if (gather) this.#takeResults(round, pieces(index));
        },
      },
      signal,
    );
  }

  #publish(round: number, pieces: readonly Uint8Array[]): void {
    for (const [rank, piece] of pieces.entries()) {
      if (rank === this.rank || piece.byteLength === 0) continue;
      this.#boards.own.show({ round, of: { publishedTo: rank }, offset: 0 }, piece);
      this.counters.sentBytes += piece.byteLength;
    }
  }

  #reduce<V extends Vector>(
    own: Uint8Array,
    how: {
      readonly combination: Combination<V>;
      readonly round: number;
      readonly show: boolean;
    },
  ): void {
    const { round } = how;
    combineInto(own, how.combination, this.#shown(round), (piece, offset) => {
      if (how.show) this.#showResult(round, piece, offset);
    });
  }

  #showResult(round: number, bytes: Uint8Array, offset: number): void {
    if (bytes.byteLength === 0) return;
    this.#boards.own.show({ round, of: "results", offset }, bytes);
    this.counters.sentBytes += bytes.byteLength * (this.rankCount - 1);
  }

  #takeResults(round: number, pieces: readonly Uint8Array[]): void {
    // Each rank begins with the one after it: two that read the same pages at a time would slow each other down.
    for (let step = 1; step < this.rankCount; step++) {
      const rank = (this.rank + step) % this.rankCount;
      const other = this.#boards.others[rank] ?? null;
      const piece = pieces[rank];
      if (other === null || piece === undefined || piece.byteLength === 0) continue;
      other.read({ round, of: "results", offset: 0 }, piece);
      this.counters.receivedBytes += piece.byteLength;
    }
  }
}
