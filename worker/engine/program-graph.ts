/**
 * Assembles ONE graph from all recorded programs over shared variables, with the programs that every model needs: norm,
 * update, read and assign. One graph, because each loaded SavedModel has variables of its own.
 */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { EngineOptimizer } from "./engine.ts";
import type { GraphNode } from "./graph-node.ts";
import { sections } from "./graph-names.ts";
import { GraphVariables } from "./graph-variables.ts";
import { addRecordedProgram, type RecordedProgram } from "./recorded-graph.ts";
import { layOutReduction } from "./reduction-layout.ts";
import { addStatePrograms } from "./state-graph.ts";
import { addNorm, addReducedInput, addUpdate } from "./update-graph.ts";

/** What a graph is made for. */
export interface GraphPurpose {
  /** Null for evaluation and prediction alone. */
  readonly optimizer: EngineOptimizer | null;
  /** Whether the device has our own kernels. */
  readonly kernels: boolean;
  /** Whether products take bfloat16. */
  readonly bf16: boolean;
  /** Whether the model's segments are computed again for the backward pass. */
  readonly gradientCheckpointing: boolean;
}

/** The whole graph of a job. */
export function assembleGraph(
  table: ParameterTable,
  programs: readonly RecordedProgram[],
  { optimizer, kernels, bf16, gradientCheckpointing }: GraphPurpose,
): readonly GraphNode[] {
  const nodes: GraphNode[] = [];
  const layout = layOutReduction(table);
  const variables = new GraphVariables(nodes, table, optimizer !== null);
  const ground = { nodes, table, variables, layout, kernels, bf16, gradientCheckpointing };
  for (const program of programs) addRecordedProgram(ground, program);
  for (const section of optimizer === null ? (["parameters"] as const) : sections) {
    addStatePrograms(nodes, variables, section);
  }
  if (optimizer !== null) {
    addReducedInput(nodes, layout);
    addNorm(nodes, table.trainableSize);
    addUpdate(nodes, { variables, layout }, { optimizer, kernels });
  }
  return nodes;
}
