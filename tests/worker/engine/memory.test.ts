/**
 * Goal: training goes on without growing, and what the start took is given back. Method: some hundred whole steps of a small
 * BERT after a warm-up; tensors of the binding are counted, and native memory (the resident set without JavaScript's heap) may
 * grow by far less than one vector of gradients a step. The long form at MiniLM's shape, real processes: `npm run soak:memory`.
 */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import { bertFamily } from "../../../foundation/families/bert.ts";
import { initialState } from "../../../foundation/families/values-family.ts";
import { parseTable } from "../../../foundation/parameters/table.ts";
import { loadBinding } from "../../../worker/engine/binding.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { createModel } from "../../../worker/model/families.ts";
import { bindingUnderTest, engineUnderTest, jobOf } from "../../support/engine-under-test.ts";
import { wholeVector } from "../../support/whole-vector.ts";
import { tinyConfig } from "../../support/tiny-bert.ts";

const mebibyte = 2 ** 20;
const warmUpSteps = 100;
const steps = 300;
/** A vector of gradients has 300 KiB here: what leaks one, or a tensor of a layer, is seen. */
const growthMax = 32 * 1024;

/** Bytes of this process that are pages of a file, written to or not. */
function residentOf(file: string): number {
  let bytes = 0;
  let isOfFile = false;
  for (const line of readFileSync("/proc/self/smaps", "utf8").split("\n")) {
    if (/^[0-9a-f]+-[0-9a-f]+ /u.test(line)) isOfFile = line.endsWith(file);
    const kilobytes = /^Rss:\s+(\d+) kB/u.exec(line)?.[1];
    if (isOfFile && kilobytes !== undefined) bytes += Number(kilobytes) * 1024;
  }
  return bytes;
}

async function tinyEngine() {
  const config = JSON.parse(tinyConfig({ num_labels: 2 })) as Record<string, unknown>;
  const specs = bertFamily.tensors(config);
  const job = jobOf({ family: "bert", config, specs, bucketLengths: [16], maxLength: 16 });
  const engine = await engineUnderTest((options) => createModel(options.family, options));
  await engine.prepare(job);
  return { engine, table: parseTable(job.tableJson) };
}

describe("what an engine gives back", { skip: process.platform !== "linux" }, () => {
  it("is what loading TensorFlow has read of its library", async () => {
    const { engine, table } = await tinyEngine();
    try {
      const library = "libtensorflow_cc.so.2";
      const before = residentOf(library);
      await engine.loadState({ parameters: initialState(table.entries, 11), step: 0 });
      const after = residentOf(library);
      assert.ok(before > 100 * mebibyte, `${before} bytes once it is loaded`);
      assert.ok(after < before / 3, `${after} of ${before} bytes after the start`);
    } finally {
      await engine.close();
    }
  });

  it("is a state's memory, also where its moments are a share", async () => {
    const { engine } = await tinyEngine();
    try {
      const vectorBytes = 32 * mebibyte;
      const filled = () => allocateShared(vectorBytes / 4).fill(1);
      for (const share of [undefined, [{ start: 0, end: vectorBytes / 4 }]]) {
        const state = {
          parameters: filled(),
          firstMoment: filled(),
          secondMoment: filled(),
          share,
          step: 0,
        };
        const before = process.memoryUsage.rss();
        await engine.giveBack(state);
        assert.ok(before - process.memoryUsage.rss() > vectorBytes * 2.5);
        for (const vector of [state.parameters, state.firstMoment, state.secondMoment])
          assert.ok(vector.every((value) => value === 0));
      }
    } finally {
      await engine.close();
    }
  });
});

describe("an engine's memory", () => {
  it("does not grow with the steps", async () => {
    const changes = { num_labels: 2, hidden_size: 64, intermediate_size: 128 };
    const config = JSON.parse(tinyConfig(changes)) as Record<string, unknown>;
    const specs = bertFamily.tensors(config);
    const job = jobOf({ family: "bert", config, specs, bucketLengths: [16], maxLength: 16 });
    const binding = loadBinding(await bindingUnderTest());
    const engine = await engineUnderTest((options) => createModel(options.family, options));
    try {
      const prepared = await engine.prepare(job);
      const table = parseTable(job.tableJson);
      await engine.loadState({ parameters: initialState(table.entries, 11), step: 0 });
      const model = await createModel(job.family, job);
      const batches = ([0, 1] as const).map((variant) =>
        model.exampleBatch("16", "train", variant),
      );
      const into = allocateShared(prepared.reductionSize);
      const reduced = allocateShared(prepared.reductionSize);
      const native = (): number => {
        const { rss, heapTotal } = process.memoryUsage();
        return rss - heapTotal;
      };
      let before = { bytes: 0, tensors: 0 };
      for (let step = 1; step <= warmUpSteps + steps; step++) {
        for (const [microbatch, batch] of batches.entries()) {
          const place = { step, microbatch, microbatchCount: batches.length };
          const given = await engine.runPhase(0, batch, place, { gathered: {}, into });
          reduced.set(wholeVector(prepared, into, given));
        }
        const { gradNorm } = await engine.norm(reduced);
        assert.ok(Number.isFinite(gradNorm));
        await engine.update({ step, learningRate: 1e-4 });
        if (step === warmUpSteps) before = { bytes: native(), tensors: binding.getNumOfTensors() };
      }
      assert.equal(binding.getNumOfTensors(), before.tensors);
      const growth = (native() - before.bytes) / steps;
      assert.ok(growth < growthMax, `${growth.toFixed(0)} bytes a step, at most ${growthMax}`);
    } finally {
      await engine.close();
    }
  });
});
