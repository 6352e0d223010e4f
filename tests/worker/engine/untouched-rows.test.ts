/**
 * Goal: rows that never had a gradient cost no memory and no time, and no bit changes by it. Method: AdamW's loops beside the
 * form that passes over nothing, word by word; then whole updates of a table, most of whose rows are never touched, with
 * weights such as no arithmetic gives: held as variables, and shared out, where each weight is written at every update.
 */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { z } from "zod";
import { layOutTable } from "../../../foundation/parameters/table.ts";
import { loadBinding } from "../../../worker/engine/binding.ts";
import type { EngineState } from "../../../worker/engine/engine.ts";
import { GraphRunner } from "../../../worker/engine/graph-runner.ts";
import { updateScalars } from "../../../worker/engine/optimizer-scalars.ts";
import { assembleGraph } from "../../../worker/engine/program-graph.ts";
import { layOutReduction } from "../../../worker/engine/reduction-layout.ts";
import { encodeSavedModel } from "../../../worker/engine/saved-model.ts";
import { allocateShared } from "../../../worker/engine/shared-vector.ts";
import { bindingUnderTest, someValues } from "../../support/engine-under-test.ts";

const run = promisify(execFile);
const source = fileURLToPath(new URL("adamw.cc", import.meta.url));
const kernels = fileURLToPath(new URL("../../../worker/engine/native/", import.meta.url));
const resultSchema = z.object({ set: z.string(), differences: z.number() });

/** 32 MiB of words, whose rows are no multiple of what is looked at together. */
const [rows, width] = [40_000, 210] as const;
const words = "words";
const table = layOutTable([
  { name: "before", shape: [7], kind: "parameter", decay: false },
  { name: words, shape: [rows, width], kind: "parameter", decay: true },
  { name: "after", shape: [33, 5], kind: "parameter", decay: true },
]);
const layout = layOutReduction(table);
const wordsOffset = table.entries.find(({ name }) => name === words)?.offset ?? 0;
/** Such as no arithmetic gives in TensorFlow's threads, or whose sign is easily lost. */
const oddWeights = [1e-40, -1e-40, -0, 0, 1e-45, Number.NaN, -Infinity, 2 ** -126];
const optimizer = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 };

/** Words of a step: some each time, one once and never again, one with a gradient so small that its square is none. */
function gradientOf(step: number): Float32Array {
  const gradient = allocateShared(layout.size);
  gradient.set(someValues(7, step));
  const touched = [5, 6, 100 + step, 30_000, ...(step === 2 ? [17] : [])];
  for (const row of touched) gradient.set(someValues(width, row * step), wordsOffset + row * width);
  gradient.fill(1e-25, wordsOffset + 20 * width, wordsOffset + 21 * width);
  gradient.fill(-0, wordsOffset + 40 * width, wordsOffset + 60 * width);
  gradient.set(someValues(33 * 5, step), wordsOffset + rows * width);
  gradient[layout.weightOffset] = 1;
  return gradient;
}

function firstWeights(): Float32Array {
  const weights = allocateShared(table.stateSize);
  for (let i = 0; i < weights.length; i++) weights[i] = Math.sin(i);
  for (let row = 50; row < 200; row++) weights.set(oddWeights, wordsOffset + row * width + 3);
  return weights;
}

/** The memory of this process that is kept out of huge pages, and what of it is taken. */
function smallPages(): { readonly bytes: number; readonly taken: number } {
  const found = { bytes: 0, taken: 0 };
  for (const mapping of readFileSync("/proc/self/smaps", "utf8").split(
    /^(?=[0-9a-f]+-[0-9a-f]+ )/mu,
  )) {
    if (!/^VmFlags:.* nh\b/mu.test(mapping)) continue;
    const bytesOf = (name: string): number =>
      Number(new RegExp(`^${name}:\\s+(\\d+) kB`, "mu").exec(mapping)?.[1]) * 1024;
    found.bytes += bytesOf("Size");
    found.taken += bytesOf("Private_Dirty");
  }
  return found;
}

function copyOf({ parameters, firstMoment, secondMoment, step }: EngineState): EngineState {
  if (firstMoment === undefined || secondMoment === undefined)
    throw new Error("Cannot copy a state without moments");
  const shared = (values: Float32Array): Float32Array => {
    const copy = allocateShared(values.length);
    copy.set(values);
    return copy;
  };
  return {
    parameters: shared(parameters),
    firstMoment: shared(firstMoment),
    secondMoment: shared(secondMoment),
    step,
  };
}

function assertSameBits(found: EngineState, expected: EngineState): void {
  for (const section of ["parameters", "firstMoment", "secondMoment"] as const) {
    const [one, other] = [found[section]!, expected[section]!].map(
      ({ buffer, byteOffset, length }) => new Uint32Array(buffer, byteOffset, length),
    );
    const place = one!.findIndex((word, i) => word !== other![i]);
    assert.equal(place, -1, `${section} differ at ${place}: ${one![place]}, ${other![place]}`);
  }
}

describe("AdamW of rows without gradients", { skip: process.platform !== "linux" }, () => {
  let folder = "";
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), "ringmaster-rows-"));
  });
  after(() => rm(folder, { recursive: true, force: true }));

  async function startRunner(zeroStage: 0 | 1, weightDecay: number): Promise<GraphRunner> {
    const binding = loadBinding(await bindingUnderTest());
    const nodes = assembleGraph(table, [], {
      optimizer: { ...optimizer, weightDecay },
      zeroStage,
      kernels: true,
      ownProducts: null,
      precision: "fp32",
      gradientCheckpointing: false,
      byRows: new Set([words]),
    });
    await writeFile(join(folder, "saved_model.pb"), encodeSavedModel(nodes, binding.TF_Version));
    const { version: tableVersion } = table;
    const index = { tableVersion, phases: [], rowTensors: [], inputs: {} };
    return new GraphRunner(binding, folder, {
      index,
      table,
      training: true,
      zeroStage,
      files: null,
    });
  }

  function updateTo(
    runner: GraphRunner,
    { step, zeroStage, weightDecay }: { step: number; zeroStage: 0 | 1; weightDecay: number },
  ): void {
    // As at the end of a schedule.
    const learningRate = step === 3 ? 0 : 1e-2;
    const place = { updates: step, learningRate, gradNorm: 3, weight: 1 };
    const scalars = updateScalars({ ...optimizer, weightDecay }, place);
    runner.takeReduced(gradientOf(step));
    if (zeroStage === 0) return runner.update(scalars);
    runner.updateShare(scalars);
    runner.takeWeights(scalars.bufferScale);
  }

  it("gives the bits of the loop that passes over nothing, with every instruction set", async () => {
    const program = join(folder, "adamw");
    const flags = ["-O3", "-fno-math-errno", "-std=c++17", "-w", `-I${kernels}`];
    await run("c++", [...flags, source, "-o", program]);
    const { stdout } = await run(program);
    const results = stdout.trim().split("\n");
    for (const line of results) {
      const { set, differences } = resultSchema.parse(JSON.parse(line));
      assert.equal(differences, 0, set);
    }
  });

  for (const weightDecay of [0, 0.01]) {
    it(`gives the bits of shares, also from a state that was read out, with decay ${weightDecay}`, async () => {
      const runners: GraphRunner[] = [];
      try {
        const [variables, shared] = [
          await startRunner(0, weightDecay),
          await startRunner(1, weightDecay),
        ];
        runners.push(variables, shared);
        const start = { parameters: firstWeights(), step: 0 };
        for (const runner of runners) runner.loadState(start);
        for (let step = 1; step <= 4; step++) {
          updateTo(variables, { step, zeroStage: 0, weightDecay });
          updateTo(shared, { step, zeroStage: 1, weightDecay });
          const expected = copyOf(shared.readState(true, step));
          assertSameBits(variables.readState(true, step), expected);
          // What was set anew may again be such as no arithmetic gives.
          const odd = step === 2 ? firstWeights() : expected.parameters;
          const state = { ...expected, parameters: odd };
          if (step % 2 === 0) for (const runner of runners) runner.loadState(state);
        }
      } finally {
        for (const runner of runners) runner.close();
      }
    });
  }

  it("takes memory for the moments of touched rows only, also when it goes on from a checkpoint", async () => {
    const momentBytes = rows * width * 4;
    const before = smallPages();
    const runner = await startRunner(0, 0);
    const assertFewTaken = (): void => {
      const now = smallPages();
      assert.ok(now.bytes - before.bytes >= 2 * momentBytes, `${now.bytes} bytes in small pages`);
      assert.ok(now.bytes - before.bytes < 3 * momentBytes, "what was replaced is given back");
      const taken = now.taken - before.taken;
      assert.ok(taken > 0 && taken < momentBytes / 100, `${taken} bytes taken`);
    };
    try {
      runner.loadState({ parameters: firstWeights(), step: 0 });
      updateTo(runner, { step: 1, zeroStage: 0, weightDecay: 0 });
      assertFewTaken();
      runner.loadState(copyOf(runner.readState(true, 1)));
      updateTo(runner, { step: 2, zeroStage: 0, weightDecay: 0 });
      assertFewTaken();
    } finally {
      runner.close();
    }
  });
});
