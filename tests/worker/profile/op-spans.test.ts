/**
 * Goal: what TensorFlow notes of a run becomes spans that say what was computed. Method: RunMetadata written field by field
 * with protobuf's own writer; products whose operations are known; runs whose clock does not agree with the worker's.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { opSpans } from "../../../worker/profile/op-spans.ts";
import { readRunMetadata, type OpRun } from "../../../worker/profile/run-metadata.ts";

function message(fill: (writer: BinaryWriter) => void): Uint8Array {
  const writer = new BinaryWriter();
  fill(writer);
  return writer.finish();
}

function part(writer: BinaryWriter, field: number, bytes: Uint8Array): void {
  writer.tag(field, WireType.LengthDelimited).bytes(bytes);
}

function number(writer: BinaryWriter, field: number, value: bigint): void {
  writer.tag(field, WireType.Varint).int64(value);
}

const startNs = 1_795_549_270_000_000_321n;

function nodeStats(label: string, shape: readonly number[]): Uint8Array {
  return message((op) => {
    op.tag(1, WireType.LengthDelimited).string(label.split(" ")[0]!);
    // A field that nobody reads.
    number(op, 2, 17n);
    const sizes = message((shapeWriter) => {
      for (const size of shape) {
        part(
          shapeWriter,
          2,
          message((dimension) => number(dimension, 1, BigInt(size))),
        );
      }
    });
    const tensor = message((description) => {
      number(description, 1, 1n);
      part(description, 2, sizes);
      part(
        description,
        4,
        message((allocation) => number(allocation, 1, 96n)),
      );
    });
    part(
      op,
      7,
      message((output) => {
        number(output, 1, 1n);
        part(output, 3, tensor);
      }),
    );
    op.tag(8, WireType.LengthDelimited).string(label);
    number(op, 13, startNs);
    number(op, 14, 40n);
    number(op, 15, 1_040n);
  });
}

function opOf(given: Partial<OpRun> & { readonly node: string; readonly op: string }): OpRun {
  return { inputs: [], startNs, tookNs: 1000, outputs: [], ...given };
}

function output(...shape: number[]) {
  return [{ output: 0, shape, bytes: 4 }];
}

const parameterOf = (node: string): string | null => (node === "handle" ? "layer.weight" : null);

describe("run metadata", () => {
  it("is read op by op, with shapes, bytes and nanoseconds", () => {
    const device = message((writer) => {
      writer.tag(1, WireType.LengthDelimited).string("/device:CPU:0");
      part(writer, 2, nodeStats("a/b = MatMul(a/x, a/y:1)", [2, 12]));
    });
    const metadata = message((writer) =>
      part(
        writer,
        1,
        message((stats) => part(stats, 1, device)),
      ),
    );
    assert.deepEqual(readRunMetadata(metadata), [
      {
        node: "a/b",
        op: "MatMul",
        inputs: ["a/x", "a/y:1"],
        startNs: startNs + 40n,
        tookNs: 1000,
        outputs: [{ output: 1, shape: [2, 12], bytes: 96 }],
      },
    ]);
    assert.deepEqual(readRunMetadata(new Uint8Array(0)), []);
  });
});

describe("op spans", () => {
  const startMs = Number(startNs / 1000n) / 1000;
  const spansOf = (...ops: OpRun[]) =>
    opSpans({ startMs: startMs - 1, endMs: startMs + 1, ops }, parameterOf);

  it("count a product's operations from any operand that is known, stored either way", () => {
    const left = opOf({ node: "x", op: "Add", outputs: output(3, 8, 5) });
    const right = opOf({ node: "y", op: "Add", outputs: output(3, 7, 5) });
    const product = opOf({
      node: "p",
      op: "_MklBatchMatMulV2",
      inputs: ["x", "y"],
      outputs: output(3, 8, 7),
    });
    const flops = 3 * 2 * 8 * 7 * 5;
    assert.equal(spansOf(left, right, product)[2]!.flops, flops);
    assert.equal(spansOf(right, product)[1]!.flops, flops);
    assert.equal(spansOf(left, product)[1]!.flops, flops);
    assert.equal(spansOf(product)[0]!.flops, 0);
    assert.equal(spansOf(left)[0]!.flops, 0);
  });

  it("count a convolution's, and its gradients' as many", () => {
    const image = opOf({ node: "x", op: "Add", outputs: output(4, 8, 8, 3) });
    const filter = opOf({ node: "w", op: "ReadVariableOp", outputs: output(3, 3, 3, 16) });
    const convolution = opOf({
      node: "y",
      op: "_MklNativeConv2D",
      inputs: ["x", "w"],
      outputs: output(4, 4, 4, 16),
    });
    const dx = opOf({
      node: "dx",
      op: "Conv2DBackpropInput",
      inputs: ["sizes", "w", "y"],
      outputs: output(4, 8, 8, 3),
    });
    const dw = opOf({
      node: "dw",
      op: "Conv2DBackpropFilter",
      inputs: ["x", "sizes", "y"],
      outputs: output(3, 3, 3, 16),
    });
    const own = { ...dw, op: "RingmasterFilterGradient", inputs: ["x", "y"] };
    const tiles = { ...dw, op: "RingmasterWinogradGradient", inputs: ["x", "y"] };
    const value = { ...convolution, op: "RingmasterConvolution" };
    const flops = 2 * (4 * 4 * 4 * 16) * (3 * 3 * 3);
    assert.deepEqual(
      spansOf(image, filter, convolution, dx, dw, own, tiles, value).map((span) => span.flops),
      [0, 0, flops, flops, flops, flops, flops, flops],
    );
    assert.equal(spansOf(convolution)[0]!.flops, 0);
  });

  it("count the products within the attention kernels", () => {
    const mask = opOf({ node: "m", op: "Reshape", outputs: output(2, 1, 1, 16) });
    const forward = opOf({
      node: "f",
      op: "RingmasterAttention",
      inputs: ["p", "b", "m", "s"],
      outputs: output(32, 12),
    });
    const gradient = opOf({
      node: "g",
      op: "RingmasterAttentionGradient",
      inputs: ["dy", "p", "b", "m", "s", "f", "f:1"],
      outputs: output(32, 36),
    });
    const spans = spansOf(mask, forward, gradient);
    const product = 2 * 32 * 12 * 16;
    assert.deepEqual(
      spans.map(({ flops }) => flops),
      [0, 2 * product, 5 * product],
    );
  });

  it("tell the parameter that is nearest", () => {
    const read = opOf({ node: "r", op: "ReadVariableOp", inputs: ["handle"] });
    const product = opOf({ node: "p", op: "MatMul", inputs: ["in", "r"] });
    const after = opOf({ node: "q", op: "Relu", inputs: ["p:0"] });
    const apart = opOf({ node: "z", op: "Neg", inputs: ["in"] });
    assert.deepEqual(
      spansOf(read, product, after, apart).map(({ detail }) => detail),
      ["r near layer.weight", "p near layer.weight", "q near layer.weight", "z"],
    );
  });

  it("lie within their run, moved together where the time of day was set meanwhile", () => {
    const ops = [
      opOf({ node: "a", op: "A", tookNs: 100_000 }),
      opOf({ node: "b", op: "B", startNs: startNs + 200_000n, tookNs: 300_000 }),
    ];
    for (const shift of [-3_600_000, -0.1, 0, 0.1, 3_600_000]) {
      const run = { startMs: startMs + shift, endMs: startMs + shift + 2, ops };
      const [first, second] = opSpans(run, parameterOf);
      assert.ok(first!.startMs >= run.startMs, String(shift));
      assert.ok(second!.endMs <= run.endMs, String(shift));
      assert.ok(Math.abs(second!.startMs - first!.startMs - 0.2) < 0.001, String(shift));
      assert.ok(Math.abs(second!.endMs - second!.startMs - 0.3) < 0.001, String(shift));
    }
  });
});
