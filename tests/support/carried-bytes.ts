/** What goes round a ring in tests: bytes that all ranks have, of which each owner makes one more than their sum. */
import type { Carried } from "../../worker/exact/carried-sums.ts";

/** Bytes that each rank has. */
export const carriedLength = 23;

/** Shares of unequal sizes, one of them empty where there are ranks enough, in pieces of at most 3 bytes. */
export function carriedRounds(rankCount: number): Carried["rounds"] {
  const bounds = Array.from({ length: rankCount + 1 }, (_, rank) =>
    rank === rankCount ? carriedLength : Math.floor(carriedLength * (rank / rankCount) ** 2),
  );
  const count = Math.ceil(carriedLength / 3);
  return Array.from({ length: count }, (_, round) =>
    Array.from({ length: rankCount }, (_, rank) => {
      const [first = 0, end = 0] = [bounds[rank], bounds[rank + 1]];
      return { start: Math.min(end, first + round * 3), end: Math.min(end, first + round * 3 + 3) };
    }),
  );
}

/** The sum of all ranks' bytes, of which an owner makes one more. */
export function carriedBytes(rank: number, rankCount: number, own: Uint8Array): Carried {
  const rounds = carriedRounds(rankCount);
  const carried = own.slice();
  const target = new Uint8Array(carriedLength);
  // Each owner tells as many bytes as he owns, but for the first of them, how often he has made all.
  const told = Array.from({ length: rankCount }, (_, owner) => {
    const owned = rounds.reduce((sum, of) => sum + of[owner]!.end - of[owner]!.start, 0);
    return new Uint8Array(Math.max(0, owned - 1));
  });
  return {
    rounds,
    carried,
    target,
    told,
    sum: null,
    made: () => {
      for (const [i, count] of told[rank]!.entries()) told[rank]![i] = count + 1;
    },
    add: (round, owner, arrived) => {
      const { start, end } = rounds[round]![owner]!;
      const bytes = arrived ?? new Uint8Array(end - start);
      for (let i = start; i < end; i++) {
        const sum = own[i]! + bytes[i - start]!;
        if (owner === rank) target[i] = sum + 1;
        else carried[i] = sum;
      }
    },
  };
}
