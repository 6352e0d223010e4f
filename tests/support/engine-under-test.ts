/** A real engine over the real binding for tests, with what drives it: samples, batches, whole steps. */
import { refuseUnusedGpu } from "../../foundation/host/graphics-cards.ts";
import { loadBinding } from "../../worker/engine/binding.ts";
import { setEngineEnvironment } from "../../worker/engine-environment.ts";
import { createTinyConvnet } from "../../worker/model/tiny-convnet.ts";
import { createTwoTower } from "../../worker/model/two-tower.ts";
import type { Batch, Model } from "../../worker/model/model.ts";
import { allocateShared } from "../../worker/engine/shared-vector.ts";
import { TfjsEngine } from "../../worker/engine/tfjs-engine.ts";
import type { Engine, PreparedPrograms, PrepareOptions } from "../../worker/engine/engine.ts";
import { installedBinding } from "./installed-binding.ts";
import { wholeVector } from "./whole-vector.ts";
import { layOutTable, serializeTable, type TensorSpec } from "../../foundation/parameters/table.ts";
import { newestConvolutionTable } from "../../foundation/convolution-table.ts";

/** What engines of tests compute on: `RINGMASTER_TEST_DEVICE`, which `npm run test:gpu` sets; a CPU otherwise. */
export const deviceUnderTest = process.env["RINGMASTER_TEST_DEVICE"] === "gpu" ? "gpu" : "cpu";

/** The addon's file, installed on first use. TensorFlow's settings are put into the environment before it is loaded. */
export async function bindingUnderTest(): Promise<string> {
  setEngineEnvironment(process.env, { threads: 0, device: deviceUnderTest, localRank: 0 });
  const bindingFile = await installedBinding(deviceUnderTest);
  refuseUnusedGpu(deviceUnderTest, loadBinding(bindingFile).isUsingGpuDevice());
  return bindingFile;
}

const makers: Readonly<Record<string, (options: PrepareOptions) => Model>> = {
  "tiny-convnet": createTinyConvnet,
  "two-tower": createTwoTower,
};

/** An engine of this thread; models by family, or a maker of one's own. */
export async function engineUnderTest(
  make: (options: PrepareOptions) => Model | Promise<Model> = (options) =>
    makers[options.family]!(options),
): Promise<Engine> {
  return new TfjsEngine(
    await bindingUnderTest(),
    async (options) => await make(options),
    () => performance.now(),
  );
}

/** Options for a small job; what a test does not care about is filled in. */
export function jobOf(
  form: Partial<PrepareOptions> & {
    readonly family: string;
    readonly config: object;
    readonly specs: readonly TensorSpec[];
    readonly frozen?: ReadonlySet<string>;
  },
): PrepareOptions {
  const { config, specs, frozen, ...given } = form;
  return {
    configJson: JSON.stringify(config),
    tableJson: serializeTable(layOutTable(specs, frozen)),
    optimizer: { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01, maxGradNorm: 1 },
    microbatchSize: 4,
    evalMicrobatchSize: 4,
    bucketLengths: [],
    maxLength: 1,
    labelSmoothing: 0,
    convolutionTable: newestConvolutionTable,
    seed: 7n,
    training: true,
    eager: false,
    precision: "fp32" as const,
    gradientCheckpointing: false,
    microbatchesPerStep: 2,
    cacheFolder: null,
    ...given,
  };
}

/** Adds up what a step's microbatches give, phase by phase, as a ring of one would. */
export async function sumStep(
  engine: Engine,
  prepared: PreparedPrograms,
  batches: readonly Batch[],
  step = 1,
): Promise<Float32Array> {
  const sums = allocateShared(prepared.reductionSize);
  const into = allocateShared(prepared.reductionSize);
  const gathered: Record<string, Float32Array> = {};
  for (const [number, phase] of prepared.phases.entries()) {
    const parts: Record<string, Float32Array>[] = [];
    for (const [microbatch, batch] of batches.entries()) {
      const at = { step, microbatch, microbatchCount: batches.length };
      const outputs = await engine.runPhase(number, batch, at, { gathered, into });
      if (outputs.gathered !== undefined) parts.push(outputs.gathered);
      else {
        const whole = wholeVector(prepared, into, outputs);
        for (const [i, value] of whole.entries()) sums[i]! += value;
      }
    }
    if (phase.collective === "sum") continue;
    const later = prepared.phases.slice(number + 1).flatMap((next) => next.gathered);
    for (const { name, shape } of later) {
      if (parts[0]?.[name] === undefined) continue;
      const whole = new Float32Array(shape.reduce((product, size) => product * size, 1));
      for (const [index, part] of parts.entries())
        whole.set(part[name]!, index * part[name]!.length);
      gathered[name] = whole;
    }
  }
  return sums;
}

/** Values between −1 and 1 that a counter makes: the same in every run. */
export function someValues(length: number, seed: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin((i + 1) * 12.9898 + seed * 78.233));
}

/** Largest difference of two vectors relative to the larger one's norm. */
export function relativeDifference(left: Float32Array, right: Float32Array): number {
  let difference = 0;
  let size = 0;
  for (const [i, value] of left.entries()) {
    difference += (value - right[i]!) ** 2;
    size += Math.max(value ** 2, right[i]! ** 2);
  }
  return Math.sqrt(difference / Math.max(size, Number.MIN_VALUE));
}
