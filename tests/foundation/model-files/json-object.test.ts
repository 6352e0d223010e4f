/** JSON of a model folder: `__proto__` is refused as a key at any depth and however it is written. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { BadInput } from "../../../foundation/bad-input.ts";
import { parseJsonObject } from "../../../foundation/model-files/json-object.ts";

const refused = (text: string): void => {
  assert.throws(
    () => parseJsonObject(text, "config.json"),
    (error) => error instanceof BadInput && /__proto__/u.test(error.message),
    text,
  );
};

/** The key with some of its characters as escapes, in either case. */
const spellings = fc
  .tuple(
    ...Array.from("__proto__", (character) => {
      const code = character.charCodeAt(0).toString(16).padStart(4, "0");
      return fc.constantFrom(character, `\\u${code}`, `\\u${code.toUpperCase()}`);
    }),
  )
  .map((characters) => characters.join(""));

describe("parseJsonObject", () => {
  it("refuses the key __proto__ in every spelling, at any depth", () => {
    fc.assert(
      fc.property(spellings, fc.nat(4), (key, depth) => {
        refused(`${'{"a":['.repeat(depth)}{"${key}":1}${"]}".repeat(depth)}`);
      }),
    );
  });

  it("takes the word as a value, and other escapes", () => {
    const text = '{"a": "__proto__", "b": ["\\u005f", "\\u0041"], "\\u0061\\u0062": 1}';
    assert.deepEqual(parseJsonObject(text, "f"), { a: "__proto__", b: ["_", "A"], ab: 1 });
  });
});
