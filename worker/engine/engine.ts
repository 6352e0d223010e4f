/**
 * What the train loop asks of whoever computes: one microbatch at a time, sums before the exchange, one update after the
 * commit. Implemented by recorded graphs, by eager tfjs for debugging, and by a proxy that runs either in a thread.
 */
import type { RowPart } from "../exact/block-layout.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { EngineProfile } from "./engine-profiler.ts";
import type { Batch, Collective, InputSpec } from "../model/model.ts";

/** Settings of AdamW and clipping; the learning rate comes with each update. */
export interface EngineOptimizer {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** 0 for no clipping. */
  readonly maxGradNorm: number;
}

/** What a set of programs is made from. */
export interface PrepareOptions {
  readonly family: string;
  readonly configJson: string;
  /** The parameter table, serialised. */
  readonly tableJson: string;
  readonly optimizer: EngineOptimizer;
  readonly microbatchSize: number;
  readonly evalMicrobatchSize: number;
  readonly bucketLengths: readonly number[];
  readonly maxLength: number;
  readonly labelSmoothing: number;
  readonly seed: bigint;
  /** False for evaluation and prediction: no gradients, no optimiser. */
  readonly training: boolean;
  /** Run without recording. */
  readonly eager: boolean;
  /** Matrix products and convolutions take bfloat16; without effect on eager runs. */
  readonly bf16: boolean;
  /** Compute the model's segments again for the backward pass; recorded programs only. */
  readonly gradientCheckpointing: boolean;
  readonly microbatchesPerStep: number;
  /** Folder for recorded programs, or null to record every time. */
  readonly cacheFolder: string | null;
}

/** A phase as the step loop needs to know it. */
export interface PhaseInfo {
  readonly name: string;
  readonly collective: Collective;
  /** What the phase is fed from earlier gathers. */
  readonly gathered: readonly InputSpec[];
}

/** Answer to `prepare`. */
export interface PreparedPrograms {
  readonly tableVersion: string;
  readonly prepareMs: number;
  readonly fromCache: boolean;
  readonly phases: readonly PhaseInfo[];
  /** Elements of the vector that is reduced: [gradients | buffers | loss | weight]. */
  readonly reductionSize: number;
  /** Elements of its parts in order (each trainable tensor, each buffer, loss, weight). */
  readonly reductionParts: readonly number[];
  /** Parts of which a microbatch gives the rows that it touches, in order. */
  readonly rowParts: readonly RowPart[];
}

/** Vectors of a state, laid out by the parameter table. */
export interface EngineState {
  readonly parameters: Float32Array;
  readonly firstMoment?: Float32Array;
  readonly secondMoment?: Float32Array;
  /** Updates that made this state. */
  readonly step: number;
}

/** Which microbatch of which step. */
export interface MicrobatchPlace {
  readonly step: number;
  readonly microbatch: number;
  readonly microbatchCount: number;
}

/** Loss, weight and gradient of a global batch after the reduction. */
export interface NormResult {
  /** Norm of gradient ÷ weight; not finite when the gradient is not. */
  readonly gradNorm: number;
  readonly lossSum: number;
  readonly weight: number;
}

/** Result of one evaluated microbatch. */
export interface EvaluationResult {
  /** Logits of all rows, padding rows included, row by row. */
  readonly logits: Float32Array;
  readonly columns: number;
  readonly lossSum: number;
  readonly weight: number;
}

/** What a phase gives beside its vector. */
export interface PhaseResult {
  /** Of a gather phase: outputs by name. */
  readonly gathered?: Record<string, Float32Array>;
  /** Of a sum phase: the rows in its vector, by row part. */
  readonly touched?: readonly TouchedRows[];
}

/** One worker's computing. Calls must not overlap, and no variable changes but in loadState and update. */
export interface Engine {
  prepare(options: PrepareOptions): Promise<PreparedPrograms>;
  loadState(state: EngineState): Promise<void>;
  /** Reads the state into shared memory, which the next `readState` fills anew. */
  readState(withOptimizer: boolean): Promise<EngineState>;
  /**
   * Runs a phase over one microbatch. A sum phase writes its vector [gradients | buffers | loss | weight], which has of
   * row parts only the rows that it returns as `touched`, to the front of `into` (without a copy, if that starts at a multiple of 64 bytes of a shared memory of WebAssembly, and 64-byte blocks of
   * it are nobody else's); a gather phase returns its outputs by name.
   */
  runPhase(
    phase: number,
    batch: Batch,
    at: MicrobatchPlace,
    feeds: {
      readonly gathered: Readonly<Record<string, Float32Array>>;
      readonly into: Float32Array;
    },
  ): Promise<PhaseResult>;
  /**
   * Looks at a reduced vector without changing anything. `update` then applies that vector, which must stay as it is
   * until then: it is not copied.
   */
  norm(reduced: Float32Array): Promise<NormResult>;
  /** Applies the vector that `norm` has seen: clipping, AdamW, buffers. */
  update(options: { readonly step: number; readonly learningRate: number }): Promise<{
    readonly updateMs: number;
  }>;
  evaluate(batch: Batch): Promise<EvaluationResult>;
  /** Notes from now on what the engine does, op by op; what was noted before is forgotten. Changes no result. */
  startProfile(): Promise<void>;
  /** Gives what was noted and stops. Rejects where nothing was started. */
  takeProfile(): Promise<EngineProfile>;
  /** Replaces the set of programs between two steps, keeping the state's bits. */
  replacePrograms(options: PrepareOptions): Promise<PreparedPrograms>;
  close(): Promise<void>;
}
