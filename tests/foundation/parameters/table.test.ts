/** The parameter table: offsets for all tensors, trainable offsets for what trains, a version of everything in it. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  layOutTable,
  parseTable,
  serializeTable,
  sizeOf,
  type TensorSpec,
} from "../../../foundation/parameters/table.ts";

const specs: readonly TensorSpec[] = [
  { name: "a", shape: [2, 3], kind: "parameter", decay: true },
  { name: "mean", shape: [3], kind: "buffer", decay: false },
  { name: "b", shape: [], kind: "parameter", decay: false },
  { name: "c", shape: [4], kind: "parameter", decay: true },
];

describe("layOutTable", () => {
  it("puts parameters before buffers, and leaves frozen ones out of the trainable vector", () => {
    const table = layOutTable(specs, new Set(["b"]));
    const rows = table.entries.map(({ name, offset, size, trainableOffset }) => [
      name,
      offset,
      size,
      trainableOffset,
    ]);
    assert.deepEqual(rows, [
      ["a", 0, 6, 0],
      ["b", 6, 1, null],
      ["c", 7, 4, 6],
      ["mean", 11, 3, null],
    ]);
    assert.equal(table.stateSize, 14);
    assert.equal(table.trainableSize, 10);
  });

  it("changes its version with names, shapes, kinds, decay, order and what is frozen", () => {
    const [a, mean, b, c] = specs as [TensorSpec, TensorSpec, TensorSpec, TensorSpec];
    const versions = [
      layOutTable(specs),
      layOutTable(specs, new Set(["a"])),
      layOutTable([{ ...a, name: "z" }, mean, b, c]),
      layOutTable([{ ...a, shape: [3, 2] }, mean, b, c]),
      layOutTable([{ ...a, kind: "buffer" }, mean, b, c]),
      layOutTable([{ ...a, decay: false }, mean, b, c]),
      layOutTable([c, mean, b, a]),
    ].map(({ version }) => version);
    assert.equal(new Set(versions).size, versions.length);
  });
});

describe("parseTable", () => {
  it("reads back what was written", () => {
    const spec = fc.record(
      {
        name: fc.string({ minLength: 1 }),
        shape: fc.array(fc.nat({ max: 5 }), { maxLength: 3 }),
        kind: fc.constantFrom("parameter" as const, "buffer" as const),
        decay: fc.boolean(),
      },
      { noNullPrototype: true },
    );
    const list = fc.uniqueArray(spec, { selector: ({ name }) => name, maxLength: 8 });
    fc.assert(
      fc.property(list, fc.nat(), (tensors, choice) => {
        const frozen = new Set(
          tensors.filter((_, i) => (choice >> i) % 2 === 1).map((t) => t.name),
        );
        const table = layOutTable(tensors, frozen);
        assert.deepEqual(parseTable(serializeTable(table)), table);
        const sizes = tensors.map(({ shape }) => sizeOf(shape));
        assert.equal(
          table.stateSize,
          sizes.reduce((sum, size) => sum + size, 0),
        );
      }),
    );
  });

  it("refuses a table whose version is not that of its content", () => {
    const json = serializeTable(layOutTable(specs)).replace('"shape":[4]', '"shape":[5]');
    assert.throws(() => parseTable(json), /its content makes/);
    assert.throws(() => parseTable('{"version":"1"}'));
  });
});
