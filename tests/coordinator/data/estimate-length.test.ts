import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { estimateLength } from "../../../coordinator/data/estimate-length.ts";

describe("estimateLength", () => {
  for (const [text, length] of [
    ["", 0],
    ["  \t\n", 0],
    ["one two  three", 3],
    ["Stop! It's 5.50 €", 9],
    ["internationalisation", 3],
    ["größer", 1],
    ["“quoted” — so", 5],
    ["中文字", 3],
  ] as const) {
    it(`takes ${JSON.stringify(text)} as ${length}`, () => {
      assert.equal(estimateLength(text), length);
    });
  }
});
