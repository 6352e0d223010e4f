/** What a run will be, worked out before it starts: steps, parameters, bytes exchanged, memory. Pure. */
import { z } from "zod";
import { groupMicrobatches, wireForms, type GradientWire } from "../gradient-wire.ts";
import type { ParameterTable } from "../parameters/table.ts";
import { exchangeBytesAtMost } from "./exchange-plan.ts";
import { warmupStepsOf } from "./schedule.ts";
import type { JobSettings } from "./settings.ts";

/** What a plan is made from. */
export interface PlanInput {
  readonly settings: JobSettings;
  readonly workers: number;
  /** Samples of the training data. */
  readonly trainSize: number;
  readonly table: ParameterTable;
  /** The model's `config.json`. */
  readonly configJson: string;
  /** Longest sequence that is computed, in tokens. */
  readonly maxLength: number;
  /** Tensors that are looked up by token (`ModelFamily`). */
  readonly lookedUp: readonly string[];
}

/**
 * Bytes of one worker at its peak. Weights and optimiser are exact, gradients at most that; activations are an estimate, null if unknown;
 * the rest is calibrated (docs/performance.md).
 */
export interface MemoryEstimate {
  readonly weights: number;
  readonly optimizer: number;
  readonly gradients: number;
  readonly activations: number | null;
  /** The state once more, as it is received at the start and read out for a checkpoint. */
  readonly copies: number;
  /** Node, TensorFlow's libraries and the loaded programs. */
  readonly runtime: number;
}

/**
 * What a worker has beside its vectors: Node and its buffers 100 MB, what TensorFlow registers when it is loaded 60 MB, what is used of its
 * libraries 50 MB, programs and pools the rest.
 */
const runtimeBytes = 270e6;

/** The figures of a run. */
export interface Plan {
  readonly trainSize: number;
  readonly stepsPerEpoch: number;
  readonly totalSteps: number;
  readonly warmupSteps: number;
  readonly microbatchesPerStep: number;
  readonly parameters: number;
  readonly trainedParameters: number;
  /**
   * Bytes that one worker sends (and receives) per step, at most, the mean of all: 2·K·(N−1)/N, or half of it where each part of the sum
   * has one owner.
   */
  readonly exchangeBytesPerStep: number;
  /** Whether each part of the sum has one owner. */
  readonly isScattered: boolean;
  /** The same of weights, where the optimiser's state is shared out; else 0. */
  readonly weightBytesPerStep: number;
  readonly memoryPerWorker: MemoryEstimate;
}

const floatBytes = 4;
/** Beside the gradients, loss sum and weight travel in the reduced vector. */
const reducedExtras = 2;

/** Steps of an epoch; the last one may be short. */
export function stepsPerEpochOf(trainSize: number, trainBatchSize: number): number {
  return Math.ceil(trainSize / trainBatchSize);
}

/** All steps of a run, as transformers counts them: `maxSteps`, or the epochs' steps rounded up. */
export function totalStepsOf(
  settings: Pick<JobSettings, "maxSteps" | "numTrainEpochs" | "trainBatchSize">,
  trainSize: number,
): number {
  if (settings.maxSteps > 0) return settings.maxSteps;
  return Math.ceil(settings.numTrainEpochs * stepsPerEpochOf(trainSize, settings.trainBatchSize));
}

/** Turns shares of all steps (evaluation, checkpoints, log) into whole steps, at least 1. */
export function withWholeIntervals(settings: JobSettings, totalSteps: number): JobSettings {
  const whole = (steps: number): number =>
    steps < 1 ? Math.max(1, Math.ceil(steps * totalSteps)) : steps;
  return {
    ...settings,
    evalSteps: whole(settings.evalSteps),
    saveSteps: whole(settings.saveSteps),
    loggingSteps: whole(settings.loggingSteps),
  };
}

const transformerConfig = z.object({
  hidden_size: z.number().positive(),
  num_hidden_layers: z.number().positive(),
  intermediate_size: z.number().positive().optional(),
});

/** What activations are counted of. */
export interface ActivationForm {
  /** Rows. */
  readonly microbatch: number;
  /** Tokens of a row. */
  readonly length: number;
  readonly gradientCheckpointing: boolean;
}

/**
 * Bytes of the activations that the backward pass needs, in float32. Of each layer our kernels keep its input, queries, keys and
 * values, the context, two normalised sums and what becomes of them, 8 values a feature and token, and the inner activations
 * before and after Gelu; scores and masks are made again. With gradient checkpointing it is one layer's at a time, and
 * the input of each. Null for a model that is no transformer.
 */
export function activationBytes(
  configJson: string,
  { microbatch, length, gradientCheckpointing }: ActivationForm,
): number | null {
  const config = transformerConfig.safeParse(JSON.parse(configJson));
  if (!config.success) return null;
  const {
    hidden_size: hidden,
    num_hidden_layers: layers,
    intermediate_size: inner = 4 * hidden,
  } = config.data;
  const tokens = length * microbatch;
  const input = tokens * hidden;
  const perLayer = (8 * input + 2 * tokens * inner) * floatBytes;
  const kept = gradientCheckpointing ? perLayer + layers * input * floatBytes : layers * perLayer;
  return Math.round(kept);
}

/** Bytes of weights that each worker sends a step where each updates its share: those of all shares go around the ring, as float32. */
function weightBytes(elements: number, workers: number): number {
  return Math.round((elements * floatBytes * (workers - 1)) / workers);
}

/**
 * Bytes of the vectors of `elements` that one worker has: its microbatches of a group, this step's sum, and the last step's. A
 * worker that is alone sums a step's only group where its microbatch lies, and keeps no sum; of plain floats only one sum is kept.
 */
function gradientBytes(
  elements: number,
  microbatches: number,
  { workers, wire }: { readonly workers: number; readonly wire: GradientWire },
): number {
  const form = wireForms[wire];
  const group = groupMicrobatches(elements, form);
  const slots = Math.min(Math.ceil(microbatches / workers), group);
  const inPlace = workers === 1 && microbatches <= group;
  const sums = inPlace ? 0 : 2;
  return (slots + (form.exact ? sums : 1)) * elements * floatBytes;
}

/** Plans a run. */
export function planRun(input: PlanInput): Plan {
  const { settings, workers, trainSize, table } = input;
  const { trainBatchSize, perDeviceTrainBatchSize: microbatch } = settings;
  const totalSteps = totalStepsOf(settings, trainSize);
  const parameters = table.entries
    .filter((entry) => entry.kind === "parameter")
    .reduce((sum, entry) => sum + entry.size, 0);
  const sharesOut = settings.zeroStage === 1;
  const savesNothing = settings.saveStrategy === "no";
  const allMoments = 2 * table.trainableSize * floatBytes;
  const moments = sharesOut ? Math.ceil(allMoments / workers) : allMoments;
  const common = table.stateSize - parameters + reducedExtras;
  const reduced = table.trainableSize + common;
  const wire = settings.gradientWire;
  const scatters = sharesOut && wireForms[wire].exact;
  return {
    trainSize,
    stepsPerEpoch: stepsPerEpochOf(trainSize, trainBatchSize),
    totalSteps,
    warmupSteps: warmupStepsOf(settings, totalSteps),
    microbatchesPerStep: trainBatchSize / microbatch,
    parameters,
    trainedParameters: table.trainableSize,
    exchangeBytesPerStep: exchangeBytesAtMost({
      table,
      lookedUp: input.lookedUp,
      wire,
      workers,
      microbatches: trainBatchSize / microbatch,
      tokens: microbatch * input.maxLength,
      isScattered: scatters,
      buckets: settings.gradientBuckets,
    }),
    isScattered: scatters,
    weightBytesPerStep: sharesOut ? weightBytes(table.trainableSize, workers) : 0,
    memoryPerWorker: {
      weights: table.stateSize * floatBytes,
      optimizer: moments,
      // At most: rows that no batch has touched take no memory.
      gradients: gradientBytes(reduced, trainBatchSize / microbatch, { workers, wire }),
      activations: activationBytes(input.configJson, {
        microbatch,
        length: input.maxLength,
        gradientCheckpointing: settings.gradientCheckpointing,
      }),
      // The start's weights are gone when a checkpoint is read out, whose copy lasts while the next steps compute.
      copies: table.stateSize * floatBytes + (savesNothing ? 0 : moments),
      runtime: runtimeBytes,
    },
  };
}
