/** Workers that should hold the same bits do not: the run stops, because nobody could trust what it would train. */
import { findOddRanks, oddRanksReason } from "../server/odd-ranks.ts";

/** Names the workers. The state of the run is not saved: it may be the wrong one. */
export class Diverged extends Error {
  override readonly name = "Diverged";
  /** Last step that was committed. */
  readonly step: number;
  constructor(step: number, reason: string) {
    super(reason);
    this.step = step;
  }
}

/** What the user is told. Pure. @param checkpoint newest checkpoint, whose weights were compared; null for none */
export function divergenceReport(error: Diverged, checkpoint: string | null): readonly string[] {
  return [
    `the workers no longer hold the same bits, after step ${error.step}: ${error.message}`,
    "  a worker's memory or processor has failed it, or its processor is of another type (docs/exactness.md)",
    checkpoint === null
      ? "  there is no checkpoint yet: start again, without that machine"
      : `  to go on, without that machine: coordinator --resume-from-checkpoint ${checkpoint}`,
  ];
}

/** Throws Diverged when not all ranks have the same hashes. @param hashes by rank */
export function checkSameWeights(
  step: number,
  hashes: readonly (readonly bigint[])[],
  names: { readonly workers: readonly string[]; readonly tensors: readonly string[] },
): void {
  const odd = findOddRanks(hashes, (one, other) => {
    const place = one.findIndex((hash, index) => hash !== other[index]);
    if (place < 0 && one.length === other.length) return null;
    return place < 0 ? "number of tensors" : `copy of ${names.tensors[place] ?? `tensor ${place}`}`;
  });
  if (odd !== null) throw new Diverged(step, oddRanksReason(odd, names.workers));
}
