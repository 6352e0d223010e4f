import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { exchangeBytesAtMost, type ExchangeForm } from "../../../foundation/job/exchange-plan.ts";
import { layOutTable } from "../../../foundation/parameters/table.ts";

const specs = [
  { name: "words", shape: [30_000, 256], kind: "parameter", decay: true },
  { name: "weight", shape: [1024, 1000], kind: "parameter", decay: true },
] as const;

const form: ExchangeForm = {
  table: layOutTable(specs),
  lookedUp: ["words"],
  wire: "int32",
  workers: 2,
  microbatches: 4,
  tokens: 8 * 128,
  isScattered: false,
  buckets: null,
};
const bytesOf = (changes: Partial<ExchangeForm>): number =>
  exchangeBytesAtMost({ ...form, ...changes });
/** Of two workers each sends as much as there is: half of it twice. Exponents of rows and blocks, of loss and weight. */
const exponents = 30_000 + 1000 + 2;
const extras = 2 * 4;
/** And half of the squares of what comes whole, and a byte. */
const told = 1002 * 4 + 1;

describe("what is exchanged at most", () => {
  it("is nothing alone", () => {
    assert.equal(bytesOf({ workers: 1 }), 0);
  });

  it("is the rows that the tokens of a step may touch, and all else", () => {
    const elements = 4 * 8 * 128 * 256 + 1_024_000;
    assert.equal(bytesOf({}), 4 * elements + extras + exponents + told);
    const frozen = layOutTable(specs, new Set(["words"]));
    assert.equal(bytesOf({ table: frozen }), 4 * 1_024_000 + extras + 1002 + told);
  });

  it("is the whole table where tokens are as many as its rows", () => {
    const elements = 30_000 * 256 + 1_024_000;
    const whole = 4 * elements + extras + exponents + told;
    assert.equal(bytesOf({ microbatches: 30 }), whole);
    // Where a microbatch may touch all of it, it is exchanged as what is no table: half of its squares besides.
    assert.equal(bytesOf({ microbatches: 1, tokens: 29_999 }), whole + 30_000 * 4);
  });

  it("is fewer bytes in narrow formats, of which loss and weight have none", () => {
    const elements = 4 * 8 * 128 * 256 + 1_024_000;
    assert.equal(bytesOf({ wire: "int16" }), 2 * elements + extras + exponents);
    const blocks = 2 * 30_000 + 8000 + 2;
    assert.equal(bytesOf({ wire: "int8-block" }), elements + extras + blocks);
  });

  it("is exchanged once for each group of microbatches", () => {
    const blocks = 2 * 30_000 + 8000 + 2;
    const group = (microbatches: number): number =>
      microbatches * 8 * 128 * 256 + 1_024_000 + extras + blocks;
    assert.equal(bytesOf({ wire: "int8-block", microbatches: 11 }), group(8) + group(3));
  });

  it("is a byte for each row of plain floats, and never by groups", () => {
    const elements = 29 * 8 * 128 * 256 + 1_024_000;
    assert.equal(bytesOf({ wire: "float32", microbatches: 29 }), 4 * elements + extras + 30_000);
  });

  it("is half of it for owners, who tell of their pieces", () => {
    const elements = 4 * 8 * 128 * 256 + 1_024_000;
    // Tables come in pieces of 128 rows.
    const pieces = Math.ceil(30_000 / 128) + Math.ceil(1_024_000 / 32_768);
    // Two buckets at most, and a table between them: four regions, with three words each.
    const proof = 4 * 3 * 4;
    assert.equal(
      bytesOf({ isScattered: true }),
      2 * elements + extras + exponents + 8 * pieces + proof,
    );
  });
});
