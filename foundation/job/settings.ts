/**
 * A job's settings after flags, environment, job file and defaults have been merged and validated. Names are those of
 * HF's TrainingArguments in camel case; `settings-schema.ts` holds defaults, bounds and help.
 */
import type { GradientWire } from "../gradient-wire.ts";

/** Learning-rate schedules by transformers' names. */
export const schedulerTypes = [
  "linear",
  "cosine",
  "cosine_with_restarts",
  "polynomial",
  "constant",
  "constant_with_warmup",
  "inverse_sqrt",
  "reduce_lr_on_plateau",
  "cosine_with_min_lr",
  "cosine_warmup_with_min_lr",
  "warmup_stable_decay",
] as const;
/** One of those schedules. */
export type SchedulerType = (typeof schedulerTypes)[number];

/** When something recurring happens: never, every so many steps, or after each epoch. */
export const whenStrategies = ["no", "steps", "epoch"] as const;
/** One of those answers. */
export type WhenStrategy = (typeof whenStrategies)[number];

/** Where the records come from and which columns mean what. */
export interface DataSettings {
  /** `glue/mrpc` style id, or null when files are given, or `quickstart`. */
  readonly dataset: string | null;
  /** Files, folders or globs. */
  readonly trainFiles: readonly string[];
  readonly validationFiles: readonly string[];
  readonly testFiles: readonly string[];
  readonly textColumn: string | null;
  readonly textPairColumn: string | null;
  readonly labelColumn: string | null;
  /** Share of the training data held out by a stable hash; 0 for none. */
  readonly validationSplit: number;
}

/** All that decides a run. */
export interface JobSettings {
  /** Names the default output folder. */
  readonly job: string;
  /** Local folder, hub id, or `quickstart`. */
  readonly model: string;
  readonly modelRevision: string;
  readonly data: DataSettings;
  readonly outputDir: string;
  readonly runName: string | null;
  readonly overwriteOutputDir: boolean;
  /** The microbatch. */
  readonly perDeviceTrainBatchSize: number;
  readonly perDeviceEvalBatchSize: number;
  /** The global batch; a multiple of the microbatch, never of workers. */
  readonly trainBatchSize: number;
  readonly learningRate: number;
  readonly weightDecay: number;
  readonly adamBeta1: number;
  readonly adamBeta2: number;
  readonly adamEpsilon: number;
  readonly maxGradNorm: number;
  readonly numTrainEpochs: number;
  /** −1 for none; otherwise it overrides the epochs. */
  readonly maxSteps: number;
  readonly lrSchedulerType: SchedulerType;
  readonly lrSchedulerKwargs: Readonly<Record<string, number | string>>;
  /** Below 1: a share of all steps. */
  readonly warmupSteps: number;
  readonly warmupRatio: number;
  readonly freeze: readonly string[];
  readonly evalStrategy: WhenStrategy;
  /** Whole steps; a share of all steps (below 1) only until the plan is made. */
  readonly evalSteps: number;
  readonly saveStrategy: WhenStrategy;
  readonly saveSteps: number;
  /** null keeps all. */
  readonly saveTotalLimit: number | null;
  readonly loadBestModelAtEnd: boolean;
  readonly metricForBestModel: string;
  readonly greaterIsBetter: boolean;
  /** null for no early stopping. */
  readonly earlyStoppingPatience: number | null;
  readonly earlyStoppingThreshold: number;
  readonly labelSmoothingFactor: number;
  readonly seed: number;
  readonly groupByLength: boolean;
  /** null takes the model's own limit. */
  readonly maxLength: number | null;
  readonly padding: "none" | "bucket" | "max_length";
  /** Sequence lengths that are compiled, ascending, the last `maxLength`; empty until the data has been looked at. */
  readonly bucketLengths: readonly number[];
  /** Version of the table by which convolution kernels are chosen. */
  readonly convolutionTable: number;
  /** A checkpoint folder, `last`, or null. */
  readonly resumeFromCheckpoint: string | null;
  readonly loggingSteps: number;
  readonly eager: boolean;
  /** How gradients travel between workers. */
  readonly gradientWire: GradientWire;
  /** Buckets in which gradients are exchanged; null for as many as pay. Changes no bits. */
  readonly gradientBuckets: number | null;
  /** 1 where each worker keeps the optimiser's state of its share of the parameters; changes no bits. */
  readonly zeroStage: 0 | 1;
  /** Matrix products and convolutions take bfloat16, weights and all else stay float32. */
  readonly bf16: boolean;
  /** Compute layers again for the gradient rather than keep what they computed; changes no bits. */
  readonly gradientCheckpointing: boolean;
  /** Also on processors without bfloat16 instructions. */
  readonly forceBf16: boolean;
  /** Matrix products and convolutions take 16-bit floats, with dynamic loss scaling. */
  readonly fp16: boolean;
  /** Also on CPUs. */
  readonly forceFp16: boolean;
  readonly device: "cpu" | "gpu";
}

/** How the run is carried out; none of it changes what is trained. */
export interface LaunchSettings {
  readonly workers: number;
  /** Workers that may take part, those that join later included; null for `workers`. */
  readonly maxWorkers: number | null;
  /** Start the workers here (true), or wait for as many to join from elsewhere. */
  readonly spawnWorkers: boolean;
  /** host:port of the coordinator's gRPC service; port 0 takes a free one. */
  readonly listen: string;
  /** host:port of metrics and health; port 0 takes a free one. */
  readonly metricsListen: string;
  /** An existing NATS server, or null to start one of our own. */
  readonly nats: string | null;
  /** Secret that workers prove knowledge of; made at random when workers are spawned here. */
  readonly joinToken: string | null;
  /** Files of mutual TLS on all gRPC connections: all three or none. */
  readonly tlsCert: string | null;
  readonly tlsKey: string | null;
  readonly tlsCa: string | null;
  /** Threads of a worker's TensorFlow; null shares the cores out. */
  readonly threadsPerWorker: number | null;
  /** Steps after which all workers' weights are compared; null for checkpoints only. */
  readonly verifyEvery: number | null;
  /** Trace some steps op by op. */
  readonly profile: boolean;
  /** The steps that are traced, such as `10-12`; null chooses some when `profile` is set. */
  readonly profileSteps: string | null;
  /** Take workers in that compute other bits than the others. */
  readonly allowMixedHardware: boolean;
}
