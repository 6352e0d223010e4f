/** Which of several ranks that should hold the same hold something else? Pure. */

/** Ranks that differ. */
export interface OddRanks {
  /** The ranks that a majority of all outvotes; every rank when there is no majority. */
  readonly ranks: readonly number[];
  /** Ranks of the majority; empty when there is none. */
  readonly majority: readonly number[];
  /** The first thing that differs. */
  readonly difference: string;
}

/**
 * Finds the ranks that hold something else than the most. Null when all hold the same.
 * @param held what each rank holds, in rank order
 * @param compare names the first thing in which two differ, or gives null
 */
export function findOddRanks<Held>(
  held: readonly Held[],
  compare: (one: Held, other: Held) => string | null,
): OddRanks | null {
  const groups: { readonly of: Held; readonly ranks: number[] }[] = [];
  let difference: string | null = null;
  for (const [rank, one] of held.entries()) {
    const group = groups.find(({ of }) => {
      const found = compare(of, one);
      difference ??= found;
      return found === null;
    });
    if (group === undefined) groups.push({ of: one, ranks: [rank] });
    else group.ranks.push(rank);
  }
  if (difference === null) return null;
  const majority = groups.find(({ ranks }) => 2 * ranks.length > held.length)?.ranks ?? [];
  const ranks = [...held.keys()].filter((rank) => !majority.includes(rank));
  return { ranks, majority, difference };
}

/** Who differs, in words. @param workers worker ids in rank order */
export function oddRanksReason(odd: OddRanks, workers: readonly string[]): string {
  const named = (ranks: readonly number[]): string =>
    ranks.map((rank) => `${workers[rank] ?? "a worker"} (rank ${rank})`).join(" and ");
  const { ranks, majority, difference } = odd;
  if (majority.length === 0) {
    return `${named(ranks)} do not have the same ${difference}, and no majority tells which is right`;
  }
  const has = ranks.length === 1 ? "has" : "have";
  return `${named(ranks)} ${has} another ${difference} than ${named(majority)}`;
}
