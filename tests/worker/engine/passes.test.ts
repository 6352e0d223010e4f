/** Passes over recordings: outputs stay what they were, less is computed. */
import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { GraphNode } from "../../../worker/engine/graph-node.ts";
import { fuseBlocks } from "../../../worker/engine/passes/fuse-blocks.ts";
import { lookUpWhole } from "../../../worker/engine/passes/look-up-whole.ts";
import { mergeEqualNodes } from "../../../worker/engine/passes/merge-equal-nodes.ts";
import { narrowProducts } from "../../../worker/engine/passes/narrow-products.ts";
import { ownProducts, ownProductsFor } from "../../../worker/engine/passes/own-products.ts";
import { removeUnusedNodes } from "../../../worker/engine/passes/remove-unused-nodes.ts";
import { sumSlopes } from "../../../worker/engine/passes/sum-slopes.ts";
import type { Recording } from "../../../worker/engine/recorder.ts";

function constant(name: string, value: number): GraphNode {
  const bytes = new Uint8Array(Float32Array.of(value).buffer);
  const attributes = { value: { kind: "tensor", dtype: 1, shape: [], bytes } } as const;
  return { name, op: "Const", inputs: [], attributes };
}

function op(name: string, kind: string, ...inputs: string[]): GraphNode {
  return { name, op: kind, inputs, attributes: { T: { kind: "type", type: 1 } } };
}

function recordingOf(nodes: readonly GraphNode[], outputs: Record<string, string>): Recording {
  return { nodes, blocks: [], outputs, origins: new Map() };
}

describe("removeUnusedNodes", () => {
  it("keeps what outputs depend on, and nothing else", () => {
    const nodes = [
      constant("one", 1),
      constant("two", 2),
      op("unused", "Neg", "two"),
      op("split", "Unpack", "input/x"),
      op("sum", "AddV2", "one", "split:1"),
    ];
    const { nodes: kept } = removeUnusedNodes(recordingOf(nodes, { loss: "sum" }));
    assert.deepEqual(
      kept.map(({ name }) => name),
      ["one", "split", "sum"],
    );
  });
});

describe("mergeEqualNodes", () => {
  it("computes equal nodes once, through chains of them", () => {
    const nodes = [
      constant("a", 3),
      constant("b", 3),
      constant("c", 4),
      op("first", "Mul", "input/x", "a"),
      op("second", "Mul", "input/x", "b"),
      op("third", "Mul", "input/x", "c"),
      op("parts", "Unpack", "second"),
      op("end", "AddV2", "parts:1", "first"),
    ];
    const merged = mergeEqualNodes(recordingOf(nodes, { loss: "end", other: "second:0" }));
    assert.deepEqual(
      merged.nodes.map(({ name }) => name),
      ["a", "c", "first", "third", "parts", "end"],
    );
    assert.deepEqual(merged.nodes.find(({ name }) => name === "parts")?.inputs, ["first"]);
    assert.equal(merged.outputs["other"], "first:0");
  });
});

describe("lookUpWhole", () => {
  const zero: GraphNode = {
    name: "axis",
    op: "Const",
    inputs: [],
    attributes: { value: { kind: "tensor", dtype: 3, shape: [], bytes: new Uint8Array(4) } },
  };
  const gather: GraphNode = {
    name: "some",
    op: "GatherV2",
    inputs: ["table", "input/rows", "axis"],
    attributes: { Tparams: { kind: "type", type: 1 }, Tindices: { kind: "type", type: 3 } },
  };
  const embed = op("sum", "RingmasterEmbed", "some:0", "positions", "types", "place", "at", "type");
  const rewritten = (...nodes: readonly GraphNode[]) =>
    lookUpWhole(recordingOf([...nodes, embed], { loss: "sum" })).nodes;

  it("looks up in the whole table by its own row numbers", () => {
    const { nodes } = removeUnusedNodes(recordingOf(rewritten(zero, gather), { loss: "sum" }));
    assert.deepEqual(
      nodes.map(({ name }) => name),
      ["axis", "sum_rows0", "sum"],
    );
    assert.deepEqual(nodes[1]?.inputs, ["input/rows", "place", "axis"]);
    assert.deepEqual(nodes[1]?.attributes["Tparams"], { kind: "type", type: 3 });
    assert.deepEqual(nodes[2]?.inputs, ["table", "positions", "types", "sum_rows0", "at", "type"]);
  });

  it("leaves what is no table's rows", () => {
    const columns = rewritten(constant("axis", 1), gather);
    const [other] = rewritten({ ...gather, op: "Neg", inputs: ["table"] }).slice(-1);
    assert.deepEqual(columns.at(-1), embed);
    assert.deepEqual(other, embed);
  });
});

describe("sumSlopes", () => {
  const norm = (slope: string): GraphNode => ({
    name: "norm",
    op: "RingmasterLayerNormGradient",
    inputs: [slope, "normed", "inverse", "gain", "seed"],
    attributes: { rate: { kind: "float", float: 0.1 } },
    part: "backward",
  });
  const sum = op("sum", "AddV2", "product", "before:2");

  it("gives the kernel what its slope is the sum of", () => {
    const { nodes } = sumSlopes(recordingOf([sum, norm("sum:0")], { loss: "norm" }));
    assert.deepEqual(
      nodes.map(({ name }) => name),
      ["norm"],
    );
    assert.deepEqual(nodes[0]?.inputs.slice(0, 3), ["product", "before:2", "normed"]);
    assert.deepEqual(nodes[0]?.attributes["N"], { kind: "int", int: 2 });
    const dropped = {
      ...op("dropped", "RingmasterDropout", "sum", "seed"),
      part: "backward",
    } as const;
    const [only] = sumSlopes(recordingOf([sum, dropped], { loss: "dropped" })).nodes;
    assert.deepEqual(only?.inputs, ["product", "before:2", "seed"]);
  });

  it("leaves a sum that is read elsewhere too, and one of whole numbers", () => {
    const read = [sum, op("other", "Neg", "sum"), norm("sum")];
    assert.deepEqual(sumSlopes(recordingOf(read, { loss: "norm" })).nodes, read);
    const given = [sum, norm("sum")];
    assert.deepEqual(sumSlopes(recordingOf(given, { loss: "norm", sum: "sum" })).nodes, given);
    const forward = [sum, { ...op("dropped", "RingmasterDropout", "sum", "seed"), part: 0 }];
    assert.deepEqual(sumSlopes(recordingOf(forward, { loss: "dropped" })).nodes, forward);
    const integers = [
      { ...sum, attributes: { T: { kind: "type", type: 3 } } } as const,
      norm("sum"),
    ];
    assert.deepEqual(sumSlopes(recordingOf(integers, { loss: "norm" })).nodes, integers);
  });
});

describe("fuseBlocks", () => {
  const nodes = [
    op("scaled", "Mul", "input/x", "input/y"),
    op("shifted", "AddV2", "scaled", "input/y"),
    op("again", "Neg", "shifted"),
    op("slope", "Mul", "again", "scaled"),
    op("last", "Exp", "slope"),
  ];
  const kernel = { op: "Kernel", attributes: { rate: { kind: "float", float: 0.5 } } } as const;
  const blocks = [
    { ...kernel, inputs: ["input/x", "input/y"], outputs: ["shifted", "scaled"], end: 2 },
    { ...kernel, inputs: ["again", "scaled"], outputs: ["slope"], end: 4 },
  ];
  const recording = { ...recordingOf(nodes, { loss: "last", part: "scaled" }), blocks };

  it("leaves blocks alone that are to stay composed", () => {
    const { nodes: kept } = fuseBlocks(recording, new Set(["Kernel"]));
    assert.deepEqual(kept, nodes);
  });

  it("puts kernels in the place of blocks, and leaves nothing of the blocks", () => {
    const fused = removeUnusedNodes(fuseBlocks(recording));
    assert.deepEqual(
      fused.nodes.map(({ name, op: kind, inputs }) => [name, kind, ...inputs]),
      [
        ["block0", "Kernel", "input/x", "input/y"],
        ["again", "Neg", "block0"],
        ["block1", "Kernel", "again", "block0:1"],
        ["last", "Exp", "block1"],
      ],
    );
    assert.deepEqual(fused.outputs, { loss: "last", part: "block0:1" });
    assert.deepEqual(fused.nodes[0]!.attributes, kernel.attributes);
  });
});

describe("narrowProducts", () => {
  const typed = (kind: number) => ({ kind: "type", type: kind }) as const;
  const nodes = [
    op("product", "MatMul", "input/x", "input/w"),
    op("sum", "AddV2", "product", "input/x"),
    { ...op("whole", "MatMul", "input/i", "input/j"), attributes: { T: typed(3) } },
    op("filter", "Conv2DBackpropFilter", "input/x", "sizes", "sum"),
  ];
  const narrowed = narrowProducts(recordingOf(nodes, { loss: "sum", filter: "filter" }), "bf16");
  const nodeOf = (name: string) => narrowed.nodes.find((node) => node.name === name)!;

  it("casts a product's inputs and its result, under the product's name", () => {
    const { op: kind, inputs, attributes } = nodeOf("product");
    assert.deepEqual([kind, attributes["SrcT"], attributes["DstT"]], ["Cast", typed(14), typed(1)]);
    const product = nodeOf(inputs[0]!);
    assert.deepEqual([product.op, product.attributes["T"]], ["MatMul", typed(14)]);
    assert.deepEqual(
      product.inputs.map((input) => [nodeOf(input).op, ...nodeOf(input).inputs]),
      [
        ["Cast", "input/x"],
        ["Cast", "input/w"],
      ],
    );
  });

  it("leaves sums, whole numbers and shapes alone", () => {
    assert.deepEqual(nodeOf("sum"), nodes[1]);
    assert.deepEqual(nodeOf("whole"), nodes[2]);
    const product = nodeOf(nodeOf("filter").inputs[0]!);
    assert.equal(product.inputs[1], "sizes");
    assert.equal(nodeOf(product.inputs[2]!).op, "Cast");
  });
});

describe("ownProducts", () => {
  const bool = (value: boolean) => ({ kind: "bool", bool: value }) as const;
  const turned = { adj_x: bool(true), adj_y: bool(false) };
  const product = (name: string, type: number): GraphNode => ({
    ...op(name, "BatchMatMulV2", "input/x", "input/w"),
    attributes: { ...turned, T: { kind: "type", type } },
  });

  it("takes the place of float32 products, whichever way their operands lie", () => {
    const nodes = [product("wide", 1), product("narrow", 14), op("sum", "AddV2", "wide", "wide")];
    const { nodes: rewritten } = ownProducts(recordingOf(nodes, { loss: "sum" }), "fp32");
    assert.deepEqual(rewritten[0], {
      name: "wide",
      op: "RingmasterProduct",
      inputs: ["input/x", "input/w"],
      attributes: turned,
    });
    assert.deepEqual(rewritten.slice(1), nodes.slice(1));
  });

  it("has another kernel for bfloat16, which rounds float32 operands itself", () => {
    const recording = recordingOf([product("wide", 1)], { loss: "wide" });
    assert.deepEqual(ownProducts(recording, "bf16").nodes, [
      {
        name: "wide",
        op: "RingmasterNarrowProduct",
        inputs: ["input/x", "input/w"],
        attributes: turned,
      },
    ]);
  });

  it("tells every kernel that can to multiply in bfloat16, gradients as their forward passes", () => {
    const folder = new URL("../../../worker/engine/native/", import.meta.url);
    const kernels = readdirSync(folder)
      .map((name) => readFileSync(new URL(name, folder), "utf8"))
      .flatMap((text) => text.split("REGISTER_OP(").slice(1))
      .filter((text) => /^[^;]*Attr\("narrow: bool/u.test(text))
      .map((text) => /^"(\w+)"/u.exec(text)?.[1] ?? "");
    assert.ok(kernels.includes("RingmasterPackedAttentionGradient"), kernels.join());
    for (const kernel of kernels) {
      const attention = { ...op("context", kernel, "input/x"), attributes: turned };
      const recording = recordingOf([attention], { loss: "context" });
      assert.deepEqual(ownProducts(recording, "fp32").nodes, [attention]);
      const [told] = ownProducts(recording, "bf16").nodes;
      assert.deepEqual(told?.attributes, { ...turned, narrow: bool(true) }, kernel);
    }
  });

  it("is for float32 on every processor, and for bfloat16 but where TensorFlow alone knows how", () => {
    for (const feature of ["avx512f", "avx2", "asimd"])
      assert.equal(ownProductsFor("fp32", new Set([feature])), "fp32");
    assert.equal(ownProductsFor("bf16", new Set(["avx2", "avx512f", "avx512_bf16"])), "bf16");
    assert.equal(ownProductsFor("bf16", new Set(["avx2"])), "bf16");
    assert.equal(ownProductsFor("bf16", new Set(["avx512_bf16", "amx_bf16"])), "bf16");
    assert.equal(ownProductsFor("bf16", new Set(["asimd", "bf16"])), null);
    assert.equal(ownProductsFor("fp16", new Set(["avx2", "avx512f"])), null);
  });
});
