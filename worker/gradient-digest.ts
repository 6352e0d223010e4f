/**
 * What a reduced gradient comes to: the sum of its squares, and a hash of every tensor, by which ranks and runs are compared.
 * Both are taken piece by piece and put together in the order of the pieces, so they are the same whatever the number of
 * workers. The squares of a bucket were summed when it was reduced; its hashes are taken while the next one is still being
 * computed, if there is time, the others at the end. Where each rank has a part of the gradient alone, it takes the digest of
 * its own pieces, and the ranks tell each other: 16 bytes a piece, and by what they can tell that the sums are right.
 */
import type { GradientSum } from "./exact/gradient-sum.ts";
import { piecesOf, type Ownership } from "./exact/ownership.ts";
import type { TensorHasher } from "./hashing/tensor-hasher.ts";
import type { StepRecorder } from "./profile/step-recorder.ts";

/** Loss and weight end the reduced vector; they are reported as they are, not hashed. */
const scalarsAtEnd = 2;

/** Bytes of a hash, and of a sum of squares. */
const wordBytes = 8;
/** What is told of a piece. */
const toldBytes = 2 * wordBytes;

/** What the ranks have told each other. */
interface Told {
  /** Σ x² by piece. */
  readonly squares: ReadonlyMap<number, number>;
  readonly wrongOwners: number[];
}

/** What a digest needs of a ring. */
export interface DigestRing {
  allGather(
    own: Uint8Array,
    sizes: readonly number[],
    signal: AbortSignal,
  ): Promise<readonly Uint8Array[]>;
}

/** What a step's gradient came to. */
export interface GradientFacts {
  /** Σ x² of the gradient. */
  readonly squares: number;
  /** The hash of each tensor, in order. */
  readonly tensorHashes: bigint[];
  /** Ranks whose part of the sum is not the sum of what all ranks gave. */
  readonly wrongOwners: number[];
}

/** The digest of one step. */
export class GradientDigest {
  readonly #sum: GradientSum;
  readonly #hasher: TensorHasher;
  readonly #recorder: StepRecorder | null;
  readonly #ownership: Ownership | null;
  /** Pieces of the gradient that this rank has; null for all. */
  readonly #own: ReadonlySet<number> | null;
  /** Hashes by piece. */
  readonly #taken = new Map<number, bigint>();
  /** Σ x² of the gradient, once it was asked for. */
  #squares: number | null = null;

  constructor(
    sum: GradientSum,
    means: {
      readonly hasher: TensorHasher;
      readonly recorder: StepRecorder | null;
      /** Who has what of the gradient; null where every rank has all. */
      readonly ownership: Ownership | null;
    },
  ) {
    this.#sum = sum;
    this.#hasher = means.hasher;
    this.#recorder = means.recorder;
    this.#ownership = sum.scatters ? means.ownership : null;
    this.#own =
      this.#ownership === null
        ? null
        : new Set(piecesOf(this.#ownership.regions, this.#ownership.rank));
  }

  /** Hashes whole parts `[first, end)` that do not change any more in this step. */
  async take(first: number, end: number, signal: AbortSignal): Promise<void> {
    await this.#take((part) => part >= first && part < end, signal);
  }

  /** Σ x² of the gradient, once the sum is finished; null where ranks have to tell each other first. */
  get squares(): number | null {
    return this.#ownership === null ? this.#sumSquares(null) : null;
  }

  #sumSquares(told: Told | null): number {
    if (this.#squares !== null) return this.#squares;
    const { pieces, gradientParts } = this.#sum;
    let squares = 0;
    for (const [index, { part }] of pieces.entries())
      if (part < gradientParts) squares += told?.squares.get(index) ?? this.#sum.squaresOf(index);
    this.#squares = squares;
    return squares;
  }

  /** Completes the digest, once the sum is finished. */
  async finish(ring: DigestRing, signal: AbortSignal): Promise<GradientFacts> {
    await this.#take(() => true, signal);
    const told = await this.#tell(ring, signal);
    const byPart: bigint[][] = [];
    for (const [index, { part }] of this.#sum.pieces.entries()) {
      const hash = this.#taken.get(index);
      if (hash !== undefined) (byPart[part] ??= []).push(hash);
    }
    const tensorHashes = await this.#combine(byPart, signal);
    return { squares: this.#sumSquares(told), tensorHashes, wrongOwners: told?.wrongOwners ?? [] };
  }

  /** Has all ranks tell each other of their pieces, and of the sums; null where every rank has all. */
  async #tell(ring: DigestRing, signal: AbortSignal): Promise<Told | null> {
    if (this.#ownership === null) return null;
    const { regions, rank, rankCount } = this.#ownership;
    const { proof } = this.#sum;
    const proofBytes = proof?.byteLength ?? 0;
    const byRank = Array.from({ length: rankCount }, (_, other) => piecesOf(regions, other));
    const own = byRank[rank] ?? [];
    const hashes = BigUint64Array.from(own, (index) => this.#taken.get(index) ?? 0n);
    const squares = Float64Array.from(own, (index) => this.#sum.squaresOf(index));
    const bytes = new Uint8Array(own.length * toldBytes + proofBytes);
    bytes.set(new Uint8Array(hashes.buffer));
    bytes.set(new Uint8Array(squares.buffer), hashes.byteLength);
    if (proof !== null) bytes.set(proof.bytes(), own.length * toldBytes);
    const sizes = byRank.map(({ length }) => length * toldBytes + proofBytes);
    const all = await ring.allGather(bytes, sizes, signal);
    const squaresByPiece = new Map<number, number>();
    for (const [other, indices] of byRank.entries()) {
      const { buffer = new ArrayBuffer(0), byteOffset = 0 } = all[other] ?? {};
      const view = new DataView(buffer, byteOffset, indices.length * toldBytes);
      for (const [place, index] of indices.entries()) {
        this.#taken.set(index, view.getBigUint64(place * wordBytes, true));
        const at = (indices.length + place) * wordBytes;
        squaresByPiece.set(index, view.getFloat64(at, true));
      }
    }
    const proofs = all.map((part) => part.subarray(part.byteLength - proofBytes));
    return { squares: squaresByPiece, wrongOwners: proof?.wrongOwners(proofs) ?? [] };
  }

  /** A tensor's hash: its only piece's, or that of its pieces' hashes. */
  async #combine(byPart: readonly (readonly bigint[])[], signal: AbortSignal): Promise<bigint[]> {
    const combined: bigint[] = [];
    for (const hashes of byPart) {
      const [only, second] = hashes;
      const list = [new Uint8Array(BigUint64Array.from(hashes).buffer)];
      const [hash = 0n] =
        only === undefined || second !== undefined
          ? await this.#hasher.hashPieces([list], signal)
          : [only];
      combined.push(hash);
    }
    return combined;
  }

  /** Whether this rank has a piece: buffers' all ranks have. */
  #has(index: number, part: number): boolean {
    return this.#own === null || part >= this.#sum.gradientParts || this.#own.has(index);
  }

  async #take(wanted: (part: number) => boolean, signal: AbortSignal): Promise<void> {
    const { pieces } = this.#sum;
    const parts = (pieces.at(-1)?.part ?? 0) + 1 - scalarsAtEnd;
    const chosen = [...pieces.entries()].filter(
      ([index, { part }]) =>
        part < parts && wanted(part) && this.#has(index, part) && !this.#taken.has(index),
    );
    const lists = chosen.map(([index]) => this.#sum.bytesOf(index));
    const hash = () => this.#hasher.hashPieces(lists, signal);
    const hashes = await (this.#recorder?.time("hash gradients", hash) ?? hash());
    for (const [index, value] of hashes.entries()) this.#taken.set(chosen[index]?.[0] ?? 0, value);
  }
}
