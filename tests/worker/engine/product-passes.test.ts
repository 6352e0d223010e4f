/** Goal: what only narrow products read is given narrow, and products that are parts of the vector are written where they belong. */
import assert from "node:assert/strict";
import { before, describe, it } from "node:test";
import { loadBinding, type TensorFlowBinding } from "../../../worker/engine/binding.ts";
import {
  dataTypes,
  type AttributeValue,
  type GraphNode,
} from "../../../worker/engine/graph-node.ts";
import { narrowResults } from "../../../worker/engine/passes/narrow-results.ts";
import { placeProducts } from "../../../worker/engine/passes/place-products.ts";
import type { Recording } from "../../../worker/engine/recorder.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { bindingUnderTest, someValues } from "../../support/engine-under-test.ts";

const narrow: AttributeValue = { kind: "type", type: dataTypes.bfloat16 };

function node(
  name: string,
  op: string,
  inputs: readonly string[],
  attributes: Readonly<Record<string, AttributeValue>> = {},
): GraphNode {
  return { name, op: `Ringmaster${op}`, inputs, attributes };
}

function narrowed(
  nodes: readonly GraphNode[],
  outputs: Readonly<Record<string, string>>,
): ReadonlyMap<string, readonly string[]> {
  const recording: Recording = { nodes, blocks: [], outputs, origins: new Map() };
  return new Map(
    narrowResults(recording).nodes.map(({ name, attributes }) => [
      name,
      Object.keys(attributes).filter(
        (key) => attributes[key] === narrow || isNarrow(attributes[key]),
      ),
    ]),
  );
}

function isNarrow(value: AttributeValue | undefined): boolean {
  return value?.kind === "type" && value.type === dataTypes.bfloat16;
}

describe("narrowResults", () => {
  const gelu = node("gelu", "Gelu", ["in/x", "in/bias"]);
  const forward = node("forward", "NarrowProduct", ["gelu", "in/w"]);
  const weights = node("weights", "NarrowProduct", ["in/dy", "gelu:0"]);

  it("has what only products read given narrow, and tells them", () => {
    const types = narrowed([gelu, forward, weights], { loss: "forward", gradient: "weights" });
    assert.deepEqual(types.get("gelu"), ["Ty"]);
    assert.deepEqual(types.get("forward"), ["Ta"]);
    assert.deepEqual(types.get("weights"), ["Tb"]);
  });

  it("leaves what others read, and what is given, as it is", () => {
    const other = node("other", "LayerNorm", ["in/x", "in/bias", "gelu"]);
    for (const [nodes, outputs] of [
      [[gelu, forward, other], { loss: "forward", more: "other" }],
      [[gelu, forward], { loss: "forward", more: "gelu" }],
    ] as const) {
      const types = narrowed(nodes, outputs);
      assert.deepEqual([...types.values()].flat(), []);
    }
  });

  it("counts attention's gradient among those that do not look at the context", () => {
    const nodes = [
      node("attention", "Attention", ["in/projected", "in/bias", "in/mask", "in/seed"]),
      node("product", "NarrowProduct", ["attention", "in/w"]),
      node("slopes", "AttentionGradient", [
        ..."dcontext projected bias mask seed".split(" ").map((name) => `in/${name}`),
        "attention",
        "attention:1",
      ]),
      node("dx", "NarrowProduct", ["slopes", "in/w"]),
    ];
    const types = narrowed(nodes, { a: "product", b: "dx", bias: "slopes:1" });
    assert.deepEqual(types.get("attention"), ["Tcontext"]);
    assert.deepEqual(types.get("slopes"), ["Tdprojected", "Tcontext"]);
    assert.deepEqual(types.get("dx"), ["Ta"]);
  });

  it("leaves a LayerNorm's dx where it is the residual's slope as well", () => {
    for (const [rate, expected] of [
      [0, []],
      [0.1, ["Tdx"]],
    ] as const) {
      const attributes = { rate: { kind: "float", float: rate } } as const;
      const norm = node("norm", "LayerNormGradient", ["in/dy"], attributes);
      const types = narrowed([norm, node("dx", "NarrowProduct", ["norm", "in/w"])], { x: "dx" });
      assert.deepEqual(types.get("norm"), expected);
    }
  });
});

describe("placeProducts", () => {
  it("gives products of our own that are parts their place, unless no line begins there", () => {
    const nodes = [
      node("product", "NarrowProduct", ["a", "b", "^before"]),
      node("plain", "Product", ["a", "b"]),
      node("odd", "Product", ["a", "b"]),
      node("other", "Gelu", ["a", "b"]),
      node("inner", "Product", ["a", "b"]),
    ];
    const placed = placeProducts(
      nodes,
      [
        ["product", 0],
        ["plain", 32],
        ["odd", 33],
        ["other", 64],
        ["product", 128],
      ].map(([reference, offset]) => ({ reference: String(reference), offset: Number(offset) })),
    );
    assert.deepEqual(
      placed.map(({ inputs }) => inputs),
      [
        ["a", "b", "vector", "^before"],
        ["a", "b", "vector"],
        ["a", "b"],
        ["a", "b"],
        ["a", "b"],
      ],
    );
    assert.deepEqual(placed[1]?.attributes, {
      places: { kind: "int", int: 1 },
      offset: { kind: "int", int: 32 },
    });
  });
});

for (const op of ["RingmasterProduct", "RingmasterNarrowProduct"])
  describe(`${op} into memory that is fed`, () => {
    let binding: TensorFlowBinding;
    before(async () => {
      binding = loadBinding(await bindingUnderTest());
    });

    const multiply = (into: Float32Array | null, offset: number): readonly number[] => {
      const [rows, depth, columns] = [20, 33, 16];
      const tensor = (shape: number[], values: Float32Array) =>
        binding.createTensor(shape, binding.TF_FLOAT, values);
      const ids = [
        tensor([depth, rows], someValues(rows * depth, 1)),
        tensor([depth, columns], someValues(columns * depth, 2)),
        ...(into === null ? [] : [tensor([into.length], into)]),
      ];
      const attributes = [
        { name: "adj_x", type: binding.TF_ATTR_BOOL, value: true },
        { name: "adj_y", type: binding.TF_ATTR_BOOL, value: false },
        { name: "places", type: binding.TF_ATTR_INT, value: into === null ? 0 : 1 },
        { name: "offset", type: binding.TF_ATTR_INT, value: offset },
      ];
      const [result] = binding.executeOp(op, attributes, ids, 1);
      assert.ok(result !== undefined);
      assert.deepEqual(result.shape, [rows, columns]);
      const values = [...(binding.tensorDataSync(result.id) as Float32Array)];
      for (const id of [...ids, result.id]) binding.deleteTensor(id);
      return values;
    };

    it("is written to its place, and nothing else is", () => {
      const memory = allocateShared(16 + 320 + 16).fill(7);
      const expected = multiply(null, 0);
      assert.deepEqual(multiply(memory, 16), expected);
      assert.deepEqual([...memory.subarray(16, 16 + 320)], expected);
      for (const around of [memory.subarray(0, 16), memory.subarray(16 + 320)])
        assert.ok(around.every((value) => value === 7));
    });

    it("has memory of its own where there is no room, or no line begins", () => {
      const expected = multiply(null, 0);
      for (const [length, offset] of [
        [0, 0],
        [320, 16],
        [400, 8],
      ] as const) {
        const memory = allocateShared(length).fill(7);
        assert.deepEqual(multiply(memory, offset), expected);
        if (offset !== 8) assert.ok(memory.every((value) => value === 7));
      }
    });
  });
