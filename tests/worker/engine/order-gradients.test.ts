/**
 * Goal: gradients come in the order of the backward pass, each marked when it is there. Method: a small recording, whose edges
 * are looked at; and a BERT whose run TensorFlow notes, op by op.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import { loadBinding, type OwnBinding } from "../../../worker/engine/binding.ts";
import type { Engine } from "../../../worker/engine/engine.ts";
import type { GraphNode } from "../../../worker/engine/graph-node.ts";
import { orderGradients } from "../../../worker/engine/passes/order-gradients.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { WriteMarks } from "../../../worker/engine/write-marks.ts";
import { createModel } from "../../../worker/model/families.ts";
import { readRunMetadata } from "../../../worker/profile/run-metadata.ts";
import { bindingUnderTest, engineUnderTest, jobOf } from "../../support/engine-under-test.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

function op(name: string, ...inputs: string[]): GraphNode {
  return { name, op: "Mul", inputs, attributes: {} };
}

describe("orderGradients", () => {
  it("lets what comes later wait for the gradients but the last two, through what it reads where that waits", () => {
    const chain = [0, 1, 2, 3, 4].flatMap((layer) => [
      op(`dx${layer}`, layer === 0 ? "input/x" : `dx${layer - 1}`),
      op(`dw${layer}`, `dx${layer}`, "input/x"),
    ]);
    const gradients = chain.filter(({ name }) => name.startsWith("dw"));
    const outputs = Object.fromEntries(gradients.map(({ name }) => [`gradient/${name}`, name]));
    const { nodes } = orderGradients({ nodes: chain, blocks: [], outputs, origins: new Map() });
    const inputsOf = (name: string) => nodes.find((node) => node.name === name)?.inputs;
    assert.deepEqual(inputsOf("dx2"), ["dx1"]);
    assert.deepEqual(inputsOf("dx3"), ["dx2", "^order0"]);
    assert.deepEqual(inputsOf("dw3"), ["dx3", "input/x"]);
    assert.deepEqual(inputsOf("dx4"), ["dx3", "^order1"]);
    assert.deepEqual(inputsOf("order0"), ["^dw0"]);
    assert.deepEqual(inputsOf("order2"), ["^dw2", "^order1"]);
    // Whatever waits comes after what it waits for.
    const places = new Map(nodes.map(({ name }, place) => [name, place]));
    for (const [place, { inputs }] of nodes.entries()) {
      for (const input of inputs.map((one) => one.replace("^", ""))) {
        assert.ok((places.get(input) ?? -1) < place);
      }
    }
  });
});

describe("orderGradients of what is no gradient", () => {
  it("puts it first, with all that it needs", () => {
    const recorded = [op("dw", "input/x"), op("count", "input/y"), op("weight", "count")];
    const outputs = { "gradient/w": "dw", weight: "weight:0" };
    const { nodes } = orderGradients({ nodes: recorded, blocks: [], outputs, origins: new Map() });
    const names = nodes.map(({ name }) => name);
    assert.deepEqual(names, ["count", "weight", "order0", "dw", "order1"]);
  });
});

const layers = 6;
const length = 16;
const changes = {
  num_labels: 2,
  num_hidden_layers: layers,
  hidden_size: 32,
  intermediate_size: 64,
};

describe("a BERT's gradients", () => {
  let engine: Engine;
  let binding: OwnBinding;
  before(async () => {
    binding = loadBinding(await bindingUnderTest());
    engine = await engineUnderTest((options) => createModel(options.family, options));
  });
  after(async () => engine.close());

  it("are written layer by layer, the last one first, and marked", async () => {
    const config = JSON.parse(tinyConfig(changes)) as Record<string, unknown>;
    const specs = bertFamily.tensors(config);
    const job = jobOf({
      family: "bert",
      config,
      specs,
      bucketLengths: [length],
      maxLength: length,
    });
    const prepared = await engine.prepare(job);
    const { entries } = parseTable(job.tableJson);
    await engine.loadState({ parameters: initialState(entries, 11), step: 0 });
    const model = await createModel(job.family, job);
    const batch = model.exampleBatch(String(length), "train", 0);
    const marks = new WriteMarks(prepared.reductionParts.length);
    const feeds = { gathered: {}, into: allocateShared(prepared.reductionSize) };
    const at = { step: 3, microbatch: 2, microbatchCount: 4 };
    const parts = [...prepared.reductionParts.keys()];
    const run = marks.begin();
    assert.ok(parts.every((part) => !marks.has(part)));
    await engine.runPhase(0, batch, at, { ...feeds, marks: run });
    assert.ok(parts.every((part) => marks.has(part)));
    const next = marks.begin();
    assert.ok(parts.every((part) => !marks.has(part)));
    binding.traceNextRun();
    await engine.runPhase(0, batch, at, { ...feeds, marks: next });
    const ops = readRunMetadata(new Uint8Array(binding.takeRunTrace()));
    const written = ops.filter(({ op: kind }) => kind === "RingmasterWrite");
    assert.equal(written.length, parts.length);
    // A layer's attention can only be differentiated once all layers but the two behind it are written.
    const attentions = ops.filter(({ op: kind }) => kind === "RingmasterAttentionGradient");
    assert.equal(attentions.length, layers - 1);
    const writtenBefore = attentions.map(
      ({ startNs }) => written.filter((write) => write.startNs < startNs).length,
    );
    const perLayer = 16;
    for (const [index, count] of writtenBefore.entries()) {
      assert.ok(count >= perLayer * (index - 1), `${count} written before gradient ${index}`);
    }
  });
});
