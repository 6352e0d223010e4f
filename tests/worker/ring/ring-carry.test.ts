/** Goal: what all ranks have is added up on its way to its owner and goes round, piece by piece; whatever else arrives breaks the link. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Carried } from "../../../worker/exact/carried-sums.ts";
import { LinkBroken } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { carryingOver } from "../../../worker/ring/ring-carry.ts";

const never = new AbortController().signal;
const length = 23;

/** Shares of unequal sizes, one of them empty where there are ranks enough, in pieces of at most 3 bytes. */
function roundsOf(rankCount: number): Carried["rounds"] {
  const bounds = Array.from({ length: rankCount + 1 }, (_, rank) =>
    rank === rankCount ? length : Math.floor(length * (rank / rankCount) ** 2),
  );
  const count = Math.ceil(length / 3);
  return Array.from({ length: count }, (_, round) =>
    Array.from({ length: rankCount }, (_, rank) => {
      const [first = 0, end = 0] = [bounds[rank], bounds[rank + 1]];
      return { start: Math.min(end, first + round * 3), end: Math.min(end, first + round * 3 + 3) };
    }),
  );
}

/** The sum of all ranks' bytes, of which an owner makes one more. */
function sumOf(rank: number, rankCount: number, own: Uint8Array): Carried {
  const rounds = roundsOf(rankCount);
  const carried = own.slice();
  const target = new Uint8Array(length);
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

function placesOf(rankCount: number) {
  const links = createMemoryRing(rankCount);
  return links.map((link, rank) => ({ rank, rankCount, link, collective: 0 }));
}

describe("carryingOver", () => {
  for (const rankCount of [2, 3, 4, 9]) {
    it(`gives ${rankCount} ranks what each owner has made of what all have, with the bytes of an all-reduce`, async () => {
      const places = placesOf(rankCount);
      const owned = places.map(({ rank }) => Uint8Array.from({ length }, (_, i) => rank + i));
      const all = owned.map((own, rank) => sumOf(rank, rankCount, own));
      for (const call of [1, 2]) {
        await Promise.all(
          places.map((place, rank) => carryingOver(place).carry(all[rank]!, never)),
        );
        const expected = Array.from(
          { length },
          (_, i) => 1 + owned.reduce((sum, own) => sum + own[i]!, 0),
        );
        for (const { target, told } of all) {
          assert.deepEqual([...target], expected);
          for (const part of told) assert.ok(part.every((count) => count === call));
        }
        assert.deepEqual(new Set(places.map(({ collective }) => collective)), new Set([call]));
        const sent = places.reduce((sum, { link }) => sum + link.sentBytes, 0);
        const toldBytes = all[0]!.told.reduce((sum, { byteLength }) => sum + byteLength, 0);
        assert.ok(toldBytes > length / 2);
        assert.equal(sent, call * (2 * length + toldBytes) * (rankCount - 1));
      }
    });
  }

  it("is nothing to do for one rank", async () => {
    const [place] = placesOf(1);
    const rounds = roundsOf(1);
    const alone = { ...sumOf(0, 1, new Uint8Array(length)), rounds };
    await carryingOver(place!).carry(alone, never);
    assert.equal(place!.link.sentBytes, 0);
  });

  it("breaks the link for a chunk of another collective, hop or piece", async () => {
    const data = new Uint8Array(3);
    const [first] = roundsOf(3);
    // Rank 0 of 3 receives at hop 0 what is to be owner 1's.
    const { start, end } = first![1]!;
    assert.equal(end - start, data.length);
    for (const chunk of [
      { collective: 1, hop: 0, offset: start, data },
      { collective: 0, hop: 1, offset: start, data },
      { collective: 0, hop: 0, offset: start + 1, data },
      { collective: 0, hop: 0, offset: start, data: new Uint8Array(2) },
    ]) {
      const [place, , left] = placesOf(3);
      const carried = carryingOver(place!).carry(sumOf(0, 3, new Uint8Array(length)), never);
      await left!.link.send(chunk, never);
      await assert.rejects(carried, LinkBroken);
    }
  });

  it("ends with the signal", async () => {
    const aborter = new AbortController();
    const [place] = placesOf(3);
    const carried = carryingOver(place!).carry(sumOf(0, 3, new Uint8Array(length)), aborter.signal);
    aborter.abort(new Error("enough"));
    await assert.rejects(carried, /enough/u);
  });
});
