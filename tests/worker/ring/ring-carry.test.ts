/** Goal: what all ranks have is added up on its way to its owner and goes round, piece by piece; whatever else arrives breaks the link. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { LinkBroken } from "../../../worker/ring/link.ts";
import { createMemoryRing } from "../../../worker/ring/memory-link.ts";
import { carryingOver } from "../../../worker/ring/ring-carry.ts";
import {
  carriedBytes,
  carriedLength as length,
  carriedRounds,
} from "../../support/carried-bytes.ts";

const never = new AbortController().signal;

function placesOf(rankCount: number) {
  const links = createMemoryRing(rankCount);
  return links.map((link, rank) => ({ rank, rankCount, link, collective: 0 }));
}

describe("carryingOver", () => {
  for (const rankCount of [2, 3, 4, 9]) {
    it(`gives ${rankCount} ranks what each owner has made of what all have, with the bytes of an all-reduce`, async () => {
      const places = placesOf(rankCount);
      const owned = places.map(({ rank }) => Uint8Array.from({ length }, (_, i) => rank + i));
      const all = owned.map((own, rank) => carriedBytes(rank, rankCount, own));
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
    const rounds = carriedRounds(1);
    const alone = { ...carriedBytes(0, 1, new Uint8Array(length)), rounds };
    await carryingOver(place!).carry(alone, never);
    assert.equal(place!.link.sentBytes, 0);
  });

  it("breaks the link for a chunk of another collective, hop or piece", async () => {
    const data = new Uint8Array(3);
    const [first] = carriedRounds(3);
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
      const carried = carryingOver(place!).carry(carriedBytes(0, 3, new Uint8Array(length)), never);
      await left!.link.send(chunk, never);
      await assert.rejects(carried, LinkBroken);
    }
  });

  it("ends with the signal", async () => {
    const aborter = new AbortController();
    const [place] = placesOf(3);
    const carried = carryingOver(place!).carry(
      carriedBytes(0, 3, new Uint8Array(length)),
      aborter.signal,
    );
    aborter.abort(new Error("enough"));
    await assert.rejects(carried, /enough/u);
  });
});
