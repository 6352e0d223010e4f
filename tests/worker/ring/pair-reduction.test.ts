/** Goal: two ranks make what needs both operands at once, piece by piece; whatever else arrives breaks the link. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Shares } from "../../../worker/exact/owner-sums.ts";
import { LinkBroken } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { pairReduction } from "../../../worker/ring/pair-reduction.ts";

const never = new AbortController().signal;
/** Rank 0 makes 0 to 4 and 4 to 6, rank 1 6 to 9. */
const rounds: Shares["rounds"] = [
  [
    { start: 0, end: 4 },
    { start: 6, end: 9 },
  ],
  [
    { start: 4, end: 6 },
    { start: 9, end: 9 },
  ],
];

/** The larger of both ranks' bytes, where both give some. */
function largest(rank: number, operand: Uint8Array | null, givers: readonly boolean[]): Shares {
  const target = new Uint8Array(9);
  return {
    operand,
    givers,
    target,
    rounds,
    make: (round, others) => {
      const { start, end } = rounds[round]![rank]!;
      const other = new Uint8Array(end - start);
      for (const read of others) read(other, 0);
      for (let i = start; i < end; i++)
        target[i] = Math.max(operand?.[i] ?? 0, other[i - start] ?? 0);
    },
  };
}

function placesOf(count: number) {
  const links = createMemoryRing(count);
  return links.map((link, rank) => ({ rank, rankCount: count, link, collective: 0 }));
}

describe("pairReduction", () => {
  it("gives both ranks what each has made, one after the other, also where one gives nothing", async () => {
    const places = placesOf(2);
    const operands = [Uint8Array.of(1, 9, 1, 9, 1, 9, 1, 9, 1), new Uint8Array(9).fill(5)];
    for (const givers of [
      [true, true],
      [false, true],
      [true, false],
    ]) {
      const all = operands.map((operand, rank) =>
        largest(rank, givers[rank] === true ? operand : null, givers),
      );
      await Promise.all(
        places.map((place, rank) => pairReduction(place).makeShares(all[rank]!, never)),
      );
      const expected = Array.from({ length: 9 }, (_, i) =>
        Math.max(...operands.map((operand, rank) => (givers[rank] === true ? operand[i]! : 0))),
      );
      for (const { target } of all) assert.deepEqual([...target], expected);
    }
    assert.deepEqual(
      places.map(({ collective }) => collective),
      [3, 3],
    );
  });

  it("breaks the link for a chunk of another collective, hop or piece", async () => {
    const data = new Uint8Array(4);
    const chunks = [
      { collective: 1, hop: 0, offset: 0, data },
      { collective: 0, hop: 2, offset: 6, data: new Uint8Array(3) },
      { collective: 0, hop: 0, offset: 1, data },
      { collective: 0, hop: 0, offset: 0, data: new Uint8Array(5) },
      { collective: 0, hop: 1, offset: 0, data },
    ];
    for (const chunk of chunks) {
      const [place, other] = placesOf(2);
      const shares = largest(0, new Uint8Array(9), [true, true]);
      const made = pairReduction(place!).makeShares(shares, never);
      await other!.link.send(chunk, never);
      await assert.rejects(made, LinkBroken);
    }
  });

  it("ends with the signal, and is for two ranks", async () => {
    const aborter = new AbortController();
    const shares = largest(0, new Uint8Array(9), [true, true]);
    const made = pairReduction(placesOf(2)[0]!).makeShares(shares, aborter.signal);
    aborter.abort(new Error("enough"));
    await assert.rejects(made, /enough/u);
    assert.throws(() => pairReduction(placesOf(3)[0]!), RangeError);
  });
});
