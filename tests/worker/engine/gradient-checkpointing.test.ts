/**
 * Goal: computing layers again gives the same bits and takes much less memory, dropout and bfloat16 included. Method: one
 * microbatch of a small BERT with and without, what TensorFlow notes of both, and the rewritten graph itself.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import { loadBinding, type OwnBinding } from "../../../worker/engine/binding.ts";
import type { Engine } from "../../../worker/engine/engine.ts";
import type { GraphNode } from "../../../worker/engine/graph-node.ts";
import { recomputeSegments } from "../../../worker/engine/passes/recompute-segments.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { createModel } from "../../../worker/model/families.ts";
import { readRunMetadata, type OpRun } from "../../../worker/profile/run-metadata.ts";
import { bindingUnderTest, engineUnderTest, jobOf } from "../../support/engine-under-test.ts";
import { peakLiveBytes } from "../../support/live-bytes.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";
import type { Precision } from "../../../foundation/precision.ts";

const layers = 6;
const length = 32;
const changes = {
  num_labels: 2,
  hidden_size: 64,
  intermediate_size: 256,
  num_attention_heads: 4,
  num_hidden_layers: layers,
};

describe("gradient checkpointing of BERT", () => {
  let engine: Engine;
  let binding: OwnBinding;
  before(async () => {
    binding = loadBinding(await bindingUnderTest());
    engine = await engineUnderTest((options) => createModel(options.family, options));
  });
  after(async () => engine.close());

  async function gradientWith(given: {
    readonly gradientCheckpointing: boolean;
    readonly precision?: Precision;
  }): Promise<{ readonly gradient: Float32Array; readonly ops: readonly OpRun[] }> {
    const config = JSON.parse(tinyConfig(changes)) as Record<string, unknown>;
    const specs = bertFamily.tensors(config);
    const form = { bucketLengths: [length], maxLength: length, microbatchSize: 16, ...given };
    const job = jobOf({ family: "bert", config, specs, ...form });
    const prepared = await engine.prepare(job);
    const { entries } = parseTable(job.tableJson);
    await engine.loadState({ parameters: initialState(entries, 11), step: 0 });
    const model = await createModel(job.family, job);
    const batch = model.exampleBatch(String(length), "train", 0);
    const into = allocateShared(prepared.reductionSize);
    const at = { step: 3, microbatch: 2, microbatchCount: 4 };
    await engine.runPhase(0, batch, at, { gathered: {}, into });
    binding.traceNextRun();
    await engine.runPhase(0, batch, at, { gathered: {}, into });
    const ops = readRunMetadata(new Uint8Array(binding.takeRunTrace()));
    return { gradient: into.slice(), ops };
  }

  it("gives the same bits from twice the layers, one after the other, in 40 % of the memory", async () => {
    const kept = await gradientWith({ gradientCheckpointing: false });
    const again = await gradientWith({ gradientCheckpointing: true });
    assert.deepEqual(again.gradient, kept.gradient);
    assert.ok(kept.gradient.some((value) => Math.abs(value) > 1e-3));
    const attentions = (ops: readonly OpRun[]) =>
      ops.filter(({ op }) => op === "RingmasterAttention");
    // The last layer is another form, for the first row only.
    assert.equal(attentions(kept.ops).length, layers - 1);
    assert.equal(attentions(again.ops).length, 2 * (layers - 1));
    // Copy, gradient, copy, gradient, …: no copy runs early.
    const turns = again.ops
      .filter(({ op }) => op.startsWith("RingmasterAttention"))
      .filter(({ op, node }) => op.endsWith("Gradient") || node.endsWith("/again"))
      .map(({ op }) => (op.endsWith("Gradient") ? "gradient" : "copy"));
    const wanted = Array.from({ length: layers - 1 }, () => ["copy", "gradient"]).flat();
    assert.deepEqual(turns, wanted);
    const share = peakLiveBytes(again.ops) / peakLiveBytes(kept.ops);
    assert.ok(share < 0.4, `${(100 * share).toFixed(0)} %`);
  });

  it("gives the same bits in bfloat16", async () => {
    const kept = await gradientWith({ gradientCheckpointing: false, precision: "bf16" });
    const again = await gradientWith({ gradientCheckpointing: true, precision: "bf16" });
    assert.deepEqual(again.gradient, kept.gradient);
    assert.ok(again.ops.length > kept.ops.length);
  });
});

describe("recomputeSegments", () => {
  const node = (name: string, part: GraphNode["part"] | null, ...inputs: string[]): GraphNode => ({
    name,
    op: "Op",
    inputs,
    attributes: {},
    ...(part === null || part === undefined ? {} : { part }),
  });
  const forward = [
    node("mask", null, "input/x"),
    node("a0", 0, "input/x", "variable/0"),
    node("b0", 0, "a0", "mask"),
    node("a1", 1, "b0", "variable/1"),
    node("b1", 1, "a1:1", "mask"),
    node("loss", null, "b1"),
  ];
  const backward = [
    node("dy", "backward", "loss"),
    node("db1", "backward", "dy", "a1:1"),
    node("dw1", "backward", "db1", "b0"),
    node("da1", "backward", "db1", "variable/1"),
    node("da0", "backward", "da1", "a0"),
    node("dw0", "backward", "da0", "input/x"),
  ];
  const recordingOf = (nodes: readonly GraphNode[]) => ({
    nodes,
    blocks: [],
    origins: new Map(),
    outputs: { loss: "loss", w0: "dw0", w1: "dw1" },
  });
  const linesOf = (nodes: readonly GraphNode[]) =>
    recomputeSegments(recordingOf(nodes)).nodes.map(
      ({ name, inputs }) => `${name} ← ${inputs.join(" ")}`,
    );

  it("copies what the backward pass reads, waiting for its gradient and the segment before", () => {
    assert.deepEqual(linesOf([...forward, ...backward]), [
      "mask ← input/x",
      "a0 ← input/x variable/0",
      "b0 ← a0 mask",
      "a1 ← b0 variable/1",
      "b1 ← a1:1 mask",
      "loss ← b1",
      "dy ← loss",
      "a1/again ← b0 variable/1 ^dy",
      "db1 ← dy a1/again:1",
      "dw1 ← db1 b0",
      "da1 ← db1 variable/1",
      "a0/again ← input/x variable/0 ^da1 ^db1",
      "da0 ← da1 a0/again",
      "dw0 ← da0 input/x",
    ]);
  });

  it("leaves a recording without a backward pass or without segments alone", () => {
    assert.equal(linesOf(forward).length, forward.length);
    const whole = [...forward, ...backward].map(({ part, ...rest }) =>
      part === "backward" ? { ...rest, part } : rest,
    );
    assert.deepEqual(recomputeSegments(recordingOf(whole)).nodes, whole);
  });

  it("refuses a segment that no gradient arrives at", () => {
    const lone = [...forward, node("odd", "backward", "a0")];
    assert.throws(() => linesOf(lone), /no gradient arrives/u);
  });
});
