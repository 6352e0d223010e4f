/**
 * What the train loop asks of whoever computes: one microbatch at a time, sums before the exchange, one update after the
 * commit. Implemented by recorded graphs, by eager tfjs for debugging, and by a proxy that runs either in a thread.
 */
import type { Share } from "../../foundation/parameters/shares.ts";
import type { MemoryFile } from "../exact/memory-files.ts";
import type { RowPart } from "../exact/block-layout.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { Precision } from "../../foundation/precision.ts";
import type { EngineProfile } from "./engine-profiler.ts";
import type { Batch, Collective, InputSpec } from "../model/model.ts";
import type { RunMarks } from "./write-marks.ts";

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
  /** Whether sequences lie one behind the other, without padding, where the family can. Default false. */
  readonly packed?: boolean;
  readonly bucketLengths: readonly number[];
  readonly maxLength: number;
  readonly labelSmoothing: number;
  /** Version of the table by which convolution kernels are chosen. */
  readonly convolutionTable: number;
  readonly seed: bigint;
  /** False for evaluation and prediction: no gradients, no optimiser. */
  readonly training: boolean;
  /** Run without recording. */
  readonly eager: boolean;
  /** What matrix products and convolutions take; eager runs take float32 always. */
  readonly precision: Precision;
  /** Compute the model's segments again for the backward pass; recorded programs only. */
  readonly gradientCheckpointing: boolean;
  readonly microbatchesPerStep: number;
  /** 1 where the optimiser's state is shared out over ranks: moments are of a share, and `updateShare` updates. Default 0. */
  readonly zeroStage?: 0 | 1;
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

/** The file under each vector that has one, which begins where the vector does. */
export type StateFiles = {
  readonly [Vector in "parameters" | "firstMoment" | "secondMoment"]?: MemoryFile | undefined;
};

/** Vectors of a state, laid out by the parameter table. */
export interface EngineState {
  readonly parameters: Float32Array;
  readonly firstMoment?: Float32Array;
  readonly secondMoment?: Float32Array;
  /** What the moments are of where they are shared out; absent for the whole trainable vector. */
  readonly share?: Share | undefined;
  /** Files under vectors that other processes of the host can read. */
  readonly files?: StateFiles | undefined;
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

/** Which update. */
export interface UpdateOptions {
  readonly step: number;
  readonly learningRate: number;
  /** Of the steps before this one, those that were skipped: AdamW counts the others. Default 0. */
  readonly skippedSteps?: number;
  /** Norm to clip by; by default the one that `norm` has found. */
  readonly gradNorm?: number;
}

/**
 * One worker's computing. Calls must not overlap, but for `evaluate`, which may be asked again before it has answered: answers come in
 * the order of the calls. No variable changes but in loadState and update.
 */
export interface Engine {
  prepare(options: PrepareOptions): Promise<PreparedPrograms>;
  loadState(state: EngineState): Promise<void>;
  /**
   * Copies the state into shared memory, which no step touches, and which is the caller's until `giveBack`. With `run` it answers
   * while the state is still being copied, if it can, and marks weights, first and second moments (parts 0 to 2) once they
   * are there or known to be none. Until all are marked, phases may run, but nothing may be called that changes the state, nor another
   * `readState`.
   */
  readState(withOptimizer: boolean, run?: RunMarks): Promise<EngineState>;
  /**
   * Gives the memory of a state back to the system and to the next `readState`, once it was loaded, or what was read out has
   * served: its vectors hold zeros from then on, where the system can do it. Nobody may look at them any more.
   */
  giveBack(state: EngineState): Promise<void>;
  /**
   * Runs a phase over one microbatch. A sum phase writes its vector [gradients | buffers | loss | weight] to the front of
   * `into`: whole parts first, then of row parts the rows that it returns as `touched` (without a copy, if `into` starts at a
   * multiple of 64 bytes of a shared memory of WebAssembly). With `marks` it marks each part that is there already, if it
   * can; nothing is written to a part that is marked. A gather phase returns its outputs by name.
   */
  runPhase(
    phase: number,
    batch: Batch,
    at: MicrobatchPlace,
    feeds: {
      readonly gathered: Readonly<Record<string, Float32Array>>;
      readonly into: Float32Array;
      /**
       * Factor of the loss while it is differentiated, a power of two: small gradients stay within the range of 16-bit floats.
       * The vector has loss and gradients without it. Default 1; only programs of `fp16` take another.
       */
      readonly lossScale?: number;
      readonly marks?: RunMarks;
    },
  ): Promise<PhaseResult>;
  /**
   * Looks at a reduced vector without changing anything. `update` then applies that vector, which must stay as it is
   * until then: it is not copied.
   * @param squares Σ x² of the gradient where it is known; otherwise the engine adds it up
   */
  norm(reduced: Float32Array, squares?: number): Promise<NormResult>;
  /** Applies the vector that `norm` has seen: clipping, AdamW, buffers. */
  update(options: UpdateOptions): Promise<{ readonly updateMs: number }>;
  /** Forgets the vector that `norm` has seen: the step goes by, and no variable changes. */
  skip(step: number): Promise<void>;
  /**
   * The same of the share alone, where moments are shared out: new weights take the place of the gradients in the vector that
   * `norm` has seen, buffers and weights stay as they are. Moments change at once: what is not carried on to `takeWeights` can
   * only be repaired by `loadState`.
   */
  updateShare(options: UpdateOptions): Promise<{ readonly updateMs: number }>;
  /** Takes the weights of all shares from that vector, and buffers as in `update`. */
  takeWeights(): Promise<void>;
  evaluate(batch: Batch): Promise<EvaluationResult>;
  /** Notes from now on what the engine does, op by op; what was noted before is forgotten. Changes no result. */
  startProfile(): Promise<void>;
  /** Gives what was noted and stops. Rejects where nothing was started. */
  takeProfile(): Promise<EngineProfile>;
  /** Replaces the set of programs between two steps, keeping the state's bits. */
  replacePrograms(options: PrepareOptions): Promise<PreparedPrograms>;
  close(): Promise<void>;
}
