/**
 * Whether sums that one rank alone has are right. Addition modulo 2³² keeps checksums: the sum of what all ranks gave to an
 * owner, added up to one word, is the word that the owner's sums add up to. Each rank tells its words, and all can compare.
 * A wrong bit is found for certain, several with all but one chance in 2³².
 */

/** The words of one rank in one step, over all its groups. */
export class SumProof {
  readonly #rankCount: number;
  readonly #regionCount: number;
  /** What this rank gave to each owner, region by region; then what it has of each region. */
  readonly #words: Int32Array;

  constructor(regionCount: number, rankCount: number) {
    this.#regionCount = regionCount;
    this.#rankCount = rankCount;
    this.#words = new Int32Array(regionCount * (rankCount + 1));
  }

  /** Bytes that each rank tells. */
  get byteLength(): number {
    return this.#words.byteLength;
  }

  /** Notes the checksum of what this rank gives of a region to an owner. */
  gave(region: number, owner: number, checksum: number): void {
    this.#add(region * this.#rankCount + owner, checksum);
  }

  /** Notes the checksum of what this rank has of a region once it is reduced. */
  has(region: number, checksum: number): void {
    this.#add(this.#regionCount * this.#rankCount + region, checksum);
  }

  #add(place: number, checksum: number): void {
    // Wraps, as the array's elements are int32.
    this.#words[place] = (this.#words[place] ?? 0) + checksum;
  }

  /** What this rank tells. */
  bytes(): Uint8Array {
    return new Uint8Array(this.#words.buffer);
  }

  /** Ranks whose sums are not those of what all gave. @param told by rank, the own one included */
  wrongOwners(told: readonly Uint8Array[]): number[] {
    const words = told.map((bytes) => new Int32Array(Uint8Array.from(bytes).buffer));
    const regions = Array.from({ length: this.#regionCount }, (_, region) => region);
    return [...words.entries()].flatMap(([owner, own]) => {
      const isWrong = regions.some((region) => {
        const given = words.reduce(
          (sum, one) => (sum + (one[region * this.#rankCount + owner] ?? 0)) | 0,
          0,
        );
        return given !== own[this.#regionCount * this.#rankCount + region];
      });
      return isWrong ? [owner] : [];
    });
  }
}
