/**
 * The update where the optimiser's state is shared out over ranks: AdamW of the own share, then the weights of all shares.
 * Moments and the bounds of the share are fed, so the graph is the same for every rank of any ring.
 */
import type { EngineOptimizer } from "./engine.ts";
import { dataTypes, GraphScope, type GraphNode } from "./graph-node.ts";
import { graphNames, updateScalarNames } from "./graph-names.ts";
import { addAverages, updateAttributes, type UpdateGround } from "./update-graph.ts";

/** Adds both programs. Throws where the device lacks our kernels. */
export function addShareUpdate(
  nodes: GraphNode[],
  ground: UpdateGround,
  { optimizer, kernels }: { readonly optimizer: EngineOptimizer; readonly kernels: boolean },
): void {
  if (!kernels) throw new Error("Cannot share the optimiser's state out on a GPU");
  const { variables, layout } = ground;
  const scope = new GraphScope(nodes, "");
  const updating = new GraphScope(nodes, "update/");
  const scalars = updateScalarNames.map((name) =>
    updating.placeholder(name, dataTypes.float32, []),
  );
  const [learningRate = "", epsilon = "", scale = "", decay = "", bufferScale = ""] = scalars;
  const fed = [
    graphNames.reduced,
    ...(["firstMoment", "secondMoment"] as const).map((section) =>
      scope.vector(graphNames.shareMoments(section)),
    ),
    scope.placeholder(graphNames.share, dataTypes.int32, [2]),
  ];
  const handles = layout.trainable.map((entry) => variables.handle("parameters", entry));
  const attributes = updateAttributes(layout, optimizer);
  const { count, offsets } = attributes;
  const own = updating.add(
    "RingmasterAdamWShare",
    [...handles, ...fed, learningRate, epsilon, scale, decay],
    { ...attributes, mark: { kind: "int", int: layout.weightOffset } },
  );
  updating.after([own], "shareDone");
  const taken = updating.add("RingmasterTakeWeights", [...handles, graphNames.reduced], {
    count,
    offsets,
  });
  updating.after([taken, ...addAverages(updating, ground, bufferScale)], "done");
}
