import assert from "node:assert/strict";
import { it } from "node:test";
import { LanePlaces } from "../../../worker/ring/lane-places.ts";
import type { ChunkHead } from "../../../worker/ring/link.ts";

const headOf = (offset: number): ChunkHead => ({ collective: 1, hop: 2, offset, bytes: 8 });

it("places are given to the chunks that they were told for, and late ones do not pile up", () => {
  const places = new LanePlaces();
  const place = new Uint8Array(8);
  places.tell(headOf(0), new Uint8Array(8));
  places.tell(headOf(1), place);
  places.tell(headOf(2), place);
  assert.equal(places.take({ ...headOf(1), bytes: 9 }), null);
  assert.equal(places.take(headOf(1)), place);
  assert.equal(places.size, 1);
  assert.equal(places.take(headOf(3)), null);
  for (let offset = 4; offset < 100; offset++) {
    // Arrived before it was told, and then used.
    assert.equal(places.take(headOf(offset)), null);
    places.tell(headOf(offset), place);
    places.take(headOf(offset));
    assert.equal(places.size, 0);
  }
});
