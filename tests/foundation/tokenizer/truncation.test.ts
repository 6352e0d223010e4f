/** Goal: the closed form of `longest_first` equals its definition, taking one token of the longer text away at a time. */
import assert from "node:assert/strict";
import { it } from "node:test";
import { keptOfPair } from "../../../foundation/tokenizer/truncation.ts";

it("keptOfPair() takes tokens from the longer text until the pair fits", () => {
  for (let first = 0; first <= 12; first += 1) {
    for (let second = 0; second <= 12; second += 1) {
      for (let room = 0; room <= 25; room += 1) {
        const kept = keptOfPair(first, second, room);
        const what = `${first} + ${second} in ${room}`;
        assert.equal(kept.first + kept.second, Math.min(first + second, room), what);
        assert.ok(kept.first <= first && kept.second <= second, what);
        if (first + second <= room) continue;
        // Neither was cut below the other: what was cut is at most one longer than the rest.
        if (kept.first < first) assert.ok(kept.first + 1 >= kept.second, what);
        if (kept.second < second) assert.ok(kept.second + 1 >= kept.first, what);
      }
    }
  }
});
