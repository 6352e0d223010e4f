/**
 * Goal: every pass keeps what it promises to keep: all bits, or all but for the rounding of what it puts in another's place. Method: one
 * microbatch of a BERT, dropout included, by the graph with the pass and by the graph without it; the two graphs have to differ.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { recordModel } from "../../../worker/engine/from-model.ts";
import type { PassName } from "../../../worker/engine/graph-passes.ts";
import { writeStored } from "../../../worker/engine/program-cache.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { TfjsEngine } from "../../../worker/engine/tfjs-engine.ts";
import { createModel } from "../../../worker/model/families.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import { programs, tableOf } from "../../parity/engine-under-test.ts";
import {
  bindingUnderTest,
  deviceUnderTest,
  relativeDifference,
} from "../../support/engine-under-test.ts";
import { packedBatch, paddedBatch } from "../../support/packed-batch.ts";
import { smallBertConfig, smallBertParameters } from "../../support/small-bert.ts";
import { wholeVector } from "../../support/whole-vector.ts";

const rows = 4;
const longest = 24;
/** More words than a batch has tokens, so that word embeddings come by rows; sizes at which products are placed in the vector. */
const vocabulary = 300;
const lengths = [longest, 3, 7, longest - 3];
const configJson = smallBertConfig({ hidden: 64, heads: 2, inner: 128, vocabulary }, 0.3);

interface Case {
  /** What is prepared beside what all cases have. */
  readonly how: Readonly<Record<string, unknown>>;
  /** How far gradients may be apart, relative to their norm; 0 for the same bits. */
  readonly apart: number;
  /** Why they may. */
  readonly because: string;
}

const bits = { apart: 0, because: "the same bits" };
const packed = { packed: true };

const cases: Readonly<Record<PassName, Case>> = {
  // The composed blocks have the lengths that they were recorded with.
  fuseBlocks: {
    how: { packed: false },
    apart: 2e-5,
    because: "kernels add up in another order than the ops that they take the place of",
  },
  lookUpWhole: { how: packed, ...bits },
  removeUnusedNodes: { how: { packed: false }, ...bits },
  ownProducts: {
    how: packed,
    apart: 1e-5,
    because: "an element of our products is one sum in one order, oneDNN's is several",
  },
  narrowProducts: {
    how: { packed: false, precision: "fp16" },
    apart: 4e-3,
    because: "half precision has 11 bits: a rounding is at most 2⁻¹² of a value",
  },
  mergeEqualNodes: { how: packed, ...bits },
  sumSlopes: { how: packed, ...bits },
  narrowResults: { how: { packed: true, precision: "bf16" }, ...bits },
  recomputeSegments: { how: { packed: true, gradientCheckpointing: true }, ...bits },
  orderGradients: { how: packed, ...bits },
  placeProducts: { how: packed, ...bits },
};

describe("passes", { skip: deviceUnderTest === "gpu" && "kernels are a CPU's" }, () => {
  let bindingFile: string;
  let engine: TfjsEngine;
  let without: ReadonlySet<PassName> = new Set();
  let graph: Uint8Array = new Uint8Array();

  before(async () => {
    bindingFile = await bindingUnderTest();
    engine = new TfjsEngine(
      bindingFile,
      (options) => createModel(options.family, options),
      () => performance.now(),
      async (options, folder) => {
        const model = await createModel(options.family, options);
        const recorded = { ...options, withoutPasses: without };
        const set = recordModel(bindingFile, model, parseTable(options.tableJson), recorded);
        graph = set.savedModel;
        writeStored(folder, set);
      },
    );
  });
  after(async () => engine.close());

  async function run({ how }: Case, left: readonly PassName[]) {
    without = new Set(left);
    const prepared = await engine.prepare({ ...programs(configJson, rows, longest), ...how });
    const table = tableOf(configJson);
    await engine.loadState({
      parameters: smallBertParameters(table, { seed: 6, scale: 0.1 }),
      step: 0,
    });
    const form = { lengths, rows, vocabulary, filling: 1 };
    const batch = how["packed"] === true ? packedBatch(form) : paddedBatch(form, longest);
    const into = allocateShared(prepared.reductionSize);
    const place = { step: 3, microbatch: 2, microbatchCount: 4 };
    const result = await engine.runPhase(0, batch, place, { gathered: {}, into });
    return { vector: wholeVector(prepared, into, result), graph };
  }

  it("are recorded to the same graph each time, so that another graph is a pass's doing", async () => {
    const one = { how: packed, ...bits };
    const [first, second] = [await run(one, []), await run(one, [])];
    assert.deepEqual(first.graph, second.graph);
    assert.deepEqual(first.vector, second.vector);
  });

  for (const [name, one] of Object.entries(cases) as [PassName, Case][]) {
    it(`${name}: ${one.because}`, async () => {
      const rewritten = await run(one, []);
      const plain = await run(one, [name]);
      assert.notDeepEqual(rewritten.graph, plain.graph, "the pass has nothing to do here");
      assert.ok(plain.vector.some((value) => Math.abs(value) > 1e-3));
      if (one.apart === 0) {
        assert.deepEqual(rewritten.vector, plain.vector);
        return;
      }
      const distance = relativeDifference(rewritten.vector, plain.vector);
      assert.ok(distance < one.apart, `gradients are ${distance} apart`);
    });
  }
});
