/** What both ways of computing offer to the engine: recorded graphs (`graph-runner.ts`) and eager tfjs (`eager-runner.ts`). */
import type { TouchedRows } from "../exact/slots.ts";
import type { Batch } from "../model/model.ts";
import type { EngineState } from "./engine.ts";
import type { RunTracer } from "./graph-session.ts";
import type { RunMarks } from "./write-marks.ts";

/** Scalars of an update, computed on the host in double precision. */
export interface UpdateScalars {
  /** lr·√(1−β₂ᵗ)/(1−β₁ᵗ). */
  readonly learningRate: number;
  /** ε·√(1−β₂ᵗ): PyTorch's epsilon in the form of `ResourceApplyAdam`. */
  readonly epsilon: number;
  /** Factor of the gradient sum: clipping ÷ weight. */
  readonly scale: number;
  /** lr·weight decay. */
  readonly decay: number;
  /** Factor of the buffers' sums: 1 ÷ weight. */
  readonly bufferScale: number;
}

/** Runs programs over one set of variables. */
export interface ProgramRunner {
  loadState(state: EngineState): void;
  /** @param run marks each section once it is there; without it all is there at once */
  readState(withOptimizer: boolean, step: number, run?: RunMarks): EngineState;
  /** Takes the memory of a state that has served for what is read next. */
  takeBack(state: EngineState): void;
  /** A gather phase: outputs by name. */
  runGather(phase: number, batch: Batch, feeds: Feeds): Record<string, Float32Array>;
  /** A sum phase: writes what `Engine.runPhase` says; returns rows by row tensor. */
  runSum(phase: number, batch: Batch, feeds: Feeds, target: SumTarget): readonly TouchedRows[];
  /** Takes a reduced vector for `update`, until when it must not change. */
  takeReduced(reduced: Float32Array): void;
  update(scalars: UpdateScalars): void;
  /** Where moments are shared out: puts the share's new weights in the place of its gradients in the reduced vector. */
  updateShare(scalars: UpdateScalars): void;
  /** Takes all shares' weights from the reduced vector, and buffers. @param bufferScale factor of the buffers' sums */
  takeWeights(bufferScale: number): void;
  evaluate(batch: Batch): { logits: Float32Array; columns: number; loss: number; weight: number };
  /** Has TensorFlow's runs noted from now on, or no longer; eager ops are not noted. */
  trace(tracer: RunTracer | null): void;
  close(): void;
}

/** Where a sum phase writes. */
export interface SumTarget {
  readonly into: Float32Array;
  /** Absent where nobody watches. */
  readonly marks?: RunMarks;
}

/** What a phase is fed beside its batch. */
export interface Feeds {
  readonly gathered: Readonly<Record<string, Float32Array>>;
  readonly seed: Int32Array;
  /** Factor of the loss while it is differentiated. */
  readonly lossScale: number;
}
