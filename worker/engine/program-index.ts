/** What running recorded programs needs to know of them, and what they are called. */
import type { InputSpec } from "../model/model.ts";
import type { PhaseInfo } from "./engine.ts";
import type { RowTensor } from "./row-tensors.ts";

/** Key of a phase's program. */
export function phaseKey(phase: number, shapeKey: string): string {
  return `phase_${phase}_${shapeKey}`;
}

/** Key of an evaluation's program. */
export function evaluationKey(shapeKey: string): string {
  return `evaluate_${shapeKey}`;
}

/** What running the programs needs to know of them; stored beside the graph as JSON. */
export interface ProgramIndex {
  readonly tableVersion: string;
  readonly phases: readonly PhaseInfo[];
  /** Tensors whose gradients are given by rows. */
  readonly rowTensors: readonly RowTensor[];
  /** Inputs of each program, by key. */
  readonly inputs: Readonly<Record<string, readonly InputSpec[]>>;
}
