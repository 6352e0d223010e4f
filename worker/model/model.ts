/**
 * What the trainer knows of a model. It knows phases, programs, collectives and sums; it knows nothing of layers,
 * tokens or images. BERT, the convolutional net and the two-tower model for tests all stand behind this.
 */
import type * as tf from "@tensorflow/tfjs";
import type { ParameterTable, TensorSpec } from "../../foundation/parameters/table.ts";
import type { LookedUp } from "./looked-up.ts";

/** Name and form of one input that is fed at every run of a program. */
export interface InputSpec {
  readonly name: string;
  /** `anyLength` for a dimension that each run chooses. */
  readonly shape: readonly number[];
  readonly dtype: "float32" | "int32";
}

/** A microbatch ready for the engine: arrays by input name, all of the forms that `shape` key stands for. */
export interface Batch {
  /** Names the compiled shape, e.g. `64` for a bucket of 64 tokens. */
  readonly shapeKey: string;
  readonly arrays: Readonly<Record<string, Float32Array | Int32Array>>;
  /** Real samples (rows of weight > 0). */
  readonly samples: number;
  /** Real and padded tokens; equal to samples where tokens mean nothing. */
  readonly tokens: number;
  readonly paddedTokens: number;
  /** Samples that were cut at the maximum length. */
  readonly truncated: number;
}

/** A whole or a real number that a kernel is told when it is put into the graph. */
export type KernelAttribute =
  | { readonly kind: "int"; readonly int: number }
  | { readonly kind: "float"; readonly float: number };

/** A kernel of ours (worker/engine/native) that computes what a block of composed ops does, in fewer passes over memory. */
export interface Kernel {
  readonly op: string;
  readonly attributes: Readonly<Record<string, KernelAttribute>>;
}

/** What a phase's function is given while it runs, eagerly or being recorded. */
export interface PhaseContext {
  /**
   * Variables by table name. Frozen ones are there too. Where the inputs have a looked-up tensor's places (`placesInput`),
   * its variable holds the touched rows only, and its gradient has that shape.
   */
  readonly variables: Readonly<Record<string, tf.Variable>>;
  /** The batch's inputs, and what earlier collectives gave, by name. */
  readonly inputs: Readonly<Record<string, tf.Tensor>>;
  /**
   * Dropout mask of a site, as float32 of 0 or 1/(1−rate); a function of (job seed, step, microbatch, site) only.
   * @param site name of the place in the model, unique within it
   */
  dropoutMask(site: string, shape: readonly number[], rate: number): tf.Tensor;
  /** The words that the masks of a site are made from, int32 of shape [2]: what a kernel takes in a mask's place. */
  dropoutSeed(site: string): tf.Tensor;
  /**
   * Runs a block of ops. `compose` defines what it gives; a kernel may compute it in the graph instead.
   * @param inputs all tensors that the block depends on, in the kernel's order
   * @returns what `compose` returns, in the kernel's order of outputs
   */
  block(kernel: Kernel, inputs: readonly tf.Tensor[], compose: () => tf.Tensor[]): tf.Tensor[];
  /**
   * Runs a segment of the forward pass, such as a layer: where memory is short, what the backward pass needs of it is
   * computed again rather than kept, but for what goes on to other segments. Segments are not nested.
   */
  segment<Value>(run: () => Value): Value;
  /** Says that the loss is there and its gradient comes next; only models with segments need to. */
  backwardFollows(): void;
  /** Factor of the loss while it is differentiated, of which gradients are freed again; null for none. */
  readonly lossScale: tf.Tensor | null;
  /** Trainable variables, in table order. */
  readonly trainable: readonly tf.Variable[];
  /** False while evaluating: no dropout, running averages instead of batch statistics. */
  readonly training: boolean;
}

/**
 * What follows a phase. `sum`: the outputs are weighted sums, added up over all microbatches of the global batch.
 * `gather`: the outputs of all microbatches are concatenated along axis 0 in microbatch order, and fed, under their
 * names, to the later phases of each microbatch.
 */
export type Collective = "sum" | "gather";

/** One phase of a step: a program and the collective that follows it. */
export interface Phase {
  readonly name: string;
  readonly collective: Collective;
  /** Inputs beyond the batch's: outputs of earlier gathers, with their shapes for the global batch. */
  readonly gathered: readonly InputSpec[];
  /**
   * For `sum` phases that make gradients: `gradients` holds one tensor per trainable parameter by table name, a
   * weighted sum over the microbatch; `buffers` holds weighted sums of the new value of each buffer; `loss` the weighted
   * sum of the loss; `weight` its weight. For `gather` phases only `gathered` is set.
   */
  run(context: PhaseContext): PhaseOutputs;
}

/** Outputs of a phase; each is a tensor of the program. */
export interface PhaseOutputs {
  readonly loss?: tf.Scalar;
  readonly weight?: tf.Scalar;
  readonly gradients?: Readonly<Record<string, tf.Tensor>>;
  readonly buffers?: Readonly<Record<string, tf.Tensor>>;
  readonly gathered?: Readonly<Record<string, tf.Tensor>>;
}

/** What a model is made from: its config, and the shapes that are compiled. */
export interface ModelOptions {
  readonly configJson: string;
  /** Rows of a training microbatch. */
  readonly microbatchSize: number;
  /** Rows of an evaluation microbatch. */
  readonly evalMicrobatchSize: number;
  /**
   * Whether sequences lie one behind the other, without padding, if the family can: kernels of ours are needed, for what they
   * take the place of computes more, and is of one length. Default false.
   */
  readonly packed?: boolean;
  /** Sequence lengths that are compiled, ascending; without meaning where there are no sequences. */
  readonly bucketLengths: readonly number[];
  readonly maxLength: number;
  readonly labelSmoothing: number;
  /** Version of the table by which convolution kernels are chosen (foundation/convolution-table.ts). */
  readonly convolutionTable: number;
  /** Microbatches of a full global batch: rows of what is gathered ÷ rows of a microbatch. */
  readonly microbatchesPerStep: number;
}

/** A model as the engine compiles it. */
export interface Model {
  /** Family name, as in Prepare.model_family. */
  readonly family: string;
  /** Tensors in checkpoint order. */
  readonly tensors: readonly TensorSpec[];
  /** Tensors that are looked up by row and used in no other way; default none. */
  readonly lookedUp?: readonly LookedUp[];
  /** Shapes that can be compiled, by key, with the inputs of each. */
  shapes(use: "train" | "evaluate"): ReadonlyMap<string, readonly InputSpec[]>;
  /** The phases of a training step for one shape; the last one makes the gradients. */
  phases(shapeKey: string, table: ParameterTable): readonly Phase[];
  /** Forward only: logits of every row (padding rows included), weighted loss sum and weight. */
  evaluate(context: PhaseContext): { logits: tf.Tensor2D; loss: tf.Scalar; weight: tf.Scalar };
  /** An example batch for a shape, used to record; `variant` 0 and 1 differ in every value that may differ. */
  exampleBatch(shapeKey: string, use: "train" | "evaluate", variant: 0 | 1): Batch;
}
