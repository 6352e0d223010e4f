/** Settings of the batches, the optimiser and its schedule: what decides the weights that come out. */
import { z } from "zod";
import { setting } from "./setting.ts";
import { schedulerTypes } from "./settings.ts";

const samplesMax = 1_048_576;
const stepsMax = 1_000_000_000;
const tokensMax = 1_048_576;

/** How samples become batches. */
export const batchSettings = {
  perDeviceTrainBatchSize: setting(z.number().int().min(1).max(samplesMax).default(8), {
    group: "Batches and length",
    form: "number",
    placeholder: "samples",
    help: "the microbatch: samples that one worker computes at a time",
    expected: `a whole number from 1 to ${samplesMax}`,
    onResume: "fixed",
    aliases: ["per-gpu-train-batch-size"],
  }),
  trainBatchSize: setting(z.number().int().min(1).max(samplesMax).default(32), {
    group: "Batches and length",
    form: "number",
    placeholder: "samples",
    help: "the global batch, whatever the number of workers; a multiple of the microbatch",
    expected: `a whole number from 1 to ${samplesMax}`,
    onResume: "fixed",
  }),
  gradientAccumulationSteps: setting(
    z.number().int().min(1).max(samplesMax).nullable().default(null),
    {
      group: "Batches and length",
      form: "number",
      placeholder: "count",
      help: "not needed: follows from global batch, microbatch and workers; checked when given",
      expected: "a whole number from 1",
      onResume: "free",
      defaultText: "derived",
    },
  ),
  perDeviceEvalBatchSize: setting(z.number().int().min(1).max(samplesMax).default(8), {
    group: "Batches and length",
    form: "number",
    placeholder: "samples",
    help: "samples that one worker evaluates at a time",
    expected: `a whole number from 1 to ${samplesMax}`,
    onResume: "free",
    aliases: ["per-gpu-eval-batch-size"],
  }),
  gradientCheckpointing: setting(z.boolean().default(false), {
    group: "Batches and length",
    form: "boolean",
    placeholder: "",
    help: "compute layers again for the gradient rather than keep what they computed: less memory, more time, the same bits",
    expected: "true or false",
    onResume: "free",
  }),
  maxLength: setting(z.number().int().min(8).max(tokensMax).nullable().default(null), {
    group: "Batches and length",
    form: "number",
    placeholder: "tokens",
    help: "longest sequence; longer ones are cut, and their share is said",
    expected: "a whole number from 8",
    onResume: "fixed",
    aliases: ["max-seq-length"],
    defaultText: "the model's own limit",
  }),
  padding: setting(z.enum(["none", "bucket", "max_length"]).default("none"), {
    group: "Batches and length",
    form: "text",
    placeholder: "to",
    help: "none: nothing, on a CPU (a GPU, and --eager, take buckets); bucket: to the next length bucket; max_length: all to the maximum",
    expected: "none, bucket or max_length",
    onResume: "fixed",
  }),
  bucketLengths: setting(
    z
      .array(z.coerce.number().int().min(1).max(tokensMax))
      .max(64)
      .refine((lengths) => lengths.every((length, at) => length > (lengths[at - 1] ?? 0)))
      .default([]),
    {
      group: "Batches and length",
      form: "list",
      placeholder: "tokens...",
      help: "sequence lengths that are compiled; the last is --max-length",
      expected: "ascending whole numbers of tokens",
      onResume: "fixed",
      defaultText: "at most six, chosen from the data's lengths",
    },
  ),
  groupByLength: setting(z.boolean().default(true), {
    group: "Batches and length",
    form: "boolean",
    placeholder: "",
    help: "put samples of like length into one batch",
    expected: "true or false",
    onResume: "fixed",
  }),
  seed: setting(z.number().int().min(0).max(Number.MAX_SAFE_INTEGER).default(42), {
    group: "Batches and length",
    form: "number",
    placeholder: "number",
    help: "decides the order of the data, the new head and the dropout masks",
    expected: "a whole number from 0",
    onResume: "fixed",
  }),
} as const;

const rate = { group: "Optimiser and schedule", form: "number", placeholder: "number" } as const;

/** AdamW, its schedule and its length. */
export const optimizerSettings = {
  learningRate: setting(z.number().gt(0).max(100).default(5e-5), {
    ...rate,
    help: "peak learning rate of AdamW",
    expected: "a number above 0 and at most 100",
    onResume: "said",
  }),
  weightDecay: setting(z.number().min(0).max(100).default(0), {
    ...rate,
    help: "decoupled weight decay, not on biases and LayerNorm",
    expected: "a number from 0 to 100",
    onResume: "fixed",
  }),
  adamBeta1: setting(z.number().min(0).lt(1).default(0.9), {
    ...rate,
    help: "decay rate of the first moment",
    expected: "a number from 0 to below 1",
    onResume: "fixed",
  }),
  adamBeta2: setting(z.number().min(0).lt(1).default(0.999), {
    ...rate,
    help: "decay rate of the second moment",
    expected: "a number from 0 to below 1",
    onResume: "fixed",
  }),
  adamEpsilon: setting(z.number().gt(0).max(1).default(1e-8), {
    ...rate,
    help: "term added to the denominator",
    expected: "a number above 0 and at most 1",
    onResume: "fixed",
  }),
  maxGradNorm: setting(z.number().min(0).max(1e9).default(1), {
    ...rate,
    help: "largest global norm of the gradient; 0 for no clipping",
    expected: "a number from 0",
    onResume: "fixed",
  }),
  labelSmoothingFactor: setting(z.number().min(0).lt(1).default(0), {
    ...rate,
    help: "smoothing of the labels",
    expected: "a number from 0 to below 1",
    onResume: "fixed",
  }),
  numTrainEpochs: setting(z.number().gt(0).max(1_000_000).default(3), {
    ...rate,
    help: "passes over the training data; fractions are allowed",
    expected: "a number above 0",
    onResume: "said",
  }),
  maxSteps: setting(
    z
      .number()
      .int()
      .min(-1)
      .max(stepsMax)
      .refine((steps) => steps !== 0)
      .default(-1),
    {
      ...rate,
      placeholder: "steps",
      help: "steps to train, over the epochs; -1 for none",
      expected: "a whole number from 1, or -1 for none",
      onResume: "said",
    },
  ),
  lrSchedulerType: setting(z.enum(schedulerTypes).default("linear"), {
    ...rate,
    form: "text",
    placeholder: "name",
    help: schedulerTypes.join(", "),
    expected: `one of ${schedulerTypes.join(", ")}`,
    onResume: "said",
  }),
  lrSchedulerKwargs: setting(
    z.record(z.string().min(1).max(64), z.union([z.number(), z.string().max(64)])).default({}),
    {
      ...rate,
      form: "map",
      placeholder: "json",
      help: "further values of the schedule, as in transformers",
      expected: 'a mapping of names to numbers or words, such as {"num_cycles": 2}',
      onResume: "said",
    },
  ),
  warmupSteps: setting(z.number().min(0).max(stepsMax).default(0), {
    ...rate,
    placeholder: "steps",
    help: "steps of linear warm-up; below 1: a share of all steps",
    expected: "a number from 0",
    onResume: "said",
  }),
  warmupRatio: setting(z.number().min(0).max(1).default(0), {
    ...rate,
    placeholder: "share",
    help: "share of all steps for the warm-up, when no steps are given",
    expected: "a share from 0 to 1",
    onResume: "said",
  }),
} as const;
