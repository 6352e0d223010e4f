/**
 * Goal: a gradient program computes nothing that nobody asks for: no gradient of what is frozen, none of whole numbers. Method: the ops
 * of a BERT's recorded program are counted, with several parts of it frozen.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { frozenNames } from "../../../foundation/job/freeze.ts";
import { layOutTable, serializeTable } from "../../../foundation/parameters/table.ts";
import type { GraphNode } from "../../../worker/engine/graph-node.ts";
import type { Recording } from "../../../worker/engine/recorder.ts";
import { programs } from "../../parity/engine-under-test.ts";
import { deviceUnderTest } from "../../support/engine-under-test.ts";
import { gradientProgram } from "../../support/recorded-programs.ts";
import { smallBertConfig } from "../../support/small-bert.ts";

const configJson = smallBertConfig({ hidden: 16, heads: 2, inner: 32 }, 0.1);
const specs = bertFamily.tensors(JSON.parse(configJson) as Record<string, unknown>);

/** The finished program with these patterns frozen. */
async function programWith(
  how: { readonly packed: boolean },
  ...patterns: readonly string[]
): Promise<Recording> {
  const tableJson = serializeTable(layOutTable(specs, frozenNames(patterns, specs)));
  const steps = await gradientProgram({ ...programs(configJson, 4, 12), tableJson, ...how });
  const finished = steps.at(-1);
  assert.ok(finished !== undefined);
  return finished.recording;
}

async function nodesWith(
  how: { readonly packed: boolean },
  ...patterns: readonly string[]
): Promise<readonly GraphNode[]> {
  return (await programWith(how, ...patterns)).nodes;
}

/** Names of the nodes whose values references are computed from. */
function neededFor(
  nodes: readonly GraphNode[],
  references: readonly string[],
): ReadonlySet<string> {
  const inputsOf = new Map(nodes.map(({ name, inputs }) => [name, inputs]));
  const needed = new Set<string>();
  const open = [...references];
  for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
    const [name = reference] = reference.split(":");
    if (needed.has(name)) continue;
    needed.add(name);
    open.push(...(inputsOf.get(name) ?? []));
  }
  return needed;
}

function countOf(nodes: readonly GraphNode[], op: RegExp): number {
  return nodes.filter((node) => op.test(node.op)).length;
}

const backward = (nodes: readonly GraphNode[]) => nodes.filter(({ part }) => part === "backward");
const product = /^RingmasterProduct$/u;
const kernelGradient = /^Ringmaster(\w+Gradient|RowSums)$/u;
const embeddingSums = /^(RingmasterRowSums|UnsortedSegmentSum)$/u;

for (const packed of [true, false])
  describe(
    `the gradient program of ${packed ? "packed" : "padded"} sequences`,
    { skip: deviceUnderTest === "gpu" && "kernels are a CPU's" },
    () => {
      it("has the head's gradients alone where all but the head is frozen", async () => {
        const nodes = await nodesWith({ packed }, "bert.*");
        const all = await nodesWith({ packed });
        // The classifier's weight is all that is multiplied for.
        assert.equal(countOf(backward(nodes), product), 1);
        assert.equal(countOf(nodes, kernelGradient), 0);
        const forward = (list: readonly GraphNode[]) =>
          countOf(list, product) - countOf(backward(list), product);
        assert.equal(forward(nodes), forward(all));
        assert.ok(countOf(backward(all), product) > forward(all));
      });

      it("has one product less for each frozen weight above one that trains", async () => {
        const all = await nodesWith({ packed });
        const nodes = await nodesWith({ packed }, "encoder.layer.1.output.dense.weight");
        assert.equal(countOf(backward(nodes), product), countOf(backward(all), product) - 1);
        assert.equal(countOf(nodes, kernelGradient), countOf(all, kernelGradient));
      });

      it("ends above layers that are frozen from the embeddings on", async () => {
        const all = await nodesWith({ packed });
        const nodes = await nodesWith({ packed }, "embeddings", "encoder.layer.0-1");
        assert.equal(countOf(all, embeddingSums), 3);
        assert.equal(countOf(nodes, embeddingSums), 0);
        assert.equal(countOf(all, /AttentionGradient$/u), 2);
        assert.equal(countOf(nodes, /AttentionGradient$/u), 0);
        // Both LayerNorms of the layer that trains; the last one's input has no gradient either.
        assert.equal(countOf(nodes, /LayerNormGradient$/u), 2);
        assert.equal(countOf(nodes, /GeluGradient$/u), 1);
      });

      it("has nothing that no trained tensor's gradient, the loss or the weight needs: no whole number's", async () => {
        for (const patterns of [[], ["bert.*"], ["embeddings"], ["*.bias"]]) {
          const { nodes, outputs } = await programWith({ packed }, ...patterns);
          const frozen = frozenNames(patterns, specs);
          const trained = specs.filter(({ name }) => !frozen.has(name));
          assert.deepEqual(
            Object.keys(outputs).toSorted(),
            [...trained.map(({ name }) => `gradient/${name}`), "loss", "weight"].toSorted(),
          );
          const needed = neededFor(nodes, Object.values(outputs));
          const idle = nodes.filter(({ name, op }) => op !== "NoOp" && !needed.has(name));
          assert.deepEqual(idle, []);
        }
      });
    },
  );
