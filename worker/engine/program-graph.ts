/**
 * Assembles ONE graph from all recorded programs over shared variables, with the programs that every model needs: norm,
 * update, read and assign. One graph, because each loaded SavedModel has variables of its own.
 */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { EngineOptimizer } from "./engine.ts";
import type { GraphNode } from "./graph-node.ts";
import type { PassGround } from "./graph-passes.ts";
import { sections } from "./graph-names.ts";
import { GraphVariables } from "./graph-variables.ts";
import { addRecordedProgram, type RecordedProgram } from "./recorded-graph.ts";
import { layOutReduction } from "./reduction-layout.ts";
import { addShareCopy, addStatePrograms } from "./state-graph.ts";
import { addShareUpdate } from "./share-update-graph.ts";
import { addReducedInput, addUpdate } from "./update-graph.ts";

/** What a graph is made for. */
export interface GraphPurpose extends PassGround {
  /** Null for evaluation and prediction alone. */
  readonly optimizer: EngineOptimizer | null;
  /** 1 where moments are shared out and fed rather than variables. */
  readonly zeroStage: 0 | 1;
  /** Names of the tensors whose gradients are given by rows. */
  readonly byRows: ReadonlySet<string>;
}

/** The whole graph of a job. */
export function assembleGraph(
  table: ParameterTable,
  programs: readonly RecordedProgram[],
  { optimizer, ...purpose }: GraphPurpose,
): readonly GraphNode[] {
  const nodes: GraphNode[] = [];
  const layout = layOutReduction(table);
  const withMoments = optimizer !== null && purpose.zeroStage === 0;
  const variables = new GraphVariables(nodes, table, withMoments);
  const ground = { nodes, table, variables, layout, ...purpose };
  for (const program of programs) addRecordedProgram(ground, program);
  const sparse = purpose.kernels ? purpose.byRows : new Set<string>();
  for (const section of withMoments ? sections : (["parameters"] as const)) {
    addStatePrograms(nodes, variables, section, sparse);
  }
  if (optimizer !== null) {
    addReducedInput(nodes, layout);
    const add = purpose.zeroStage === 1 ? addShareUpdate : addUpdate;
    if (purpose.zeroStage === 1)
      for (const section of ["firstMoment", "secondMoment"] as const) addShareCopy(nodes, section);
    add(nodes, { variables, layout }, { optimizer, kernels: purpose.kernels });
  }
  return nodes;
}
