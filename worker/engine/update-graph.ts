/**
 * The update over the reduced vector, which is fed without a copy. Nothing else changes anything, and here everything changes
 * in one call: weights and moments by AdamW, buffers to the average of their sums.
 */
import type { TableEntry } from "../../foundation/parameters/table.ts";
import type { EngineOptimizer } from "./engine.ts";
import {
  dataTypes,
  GraphScope,
  typeOf,
  type AttributeValue,
  type GraphNode,
} from "./graph-node.ts";
import { graphNames, updateScalarNames } from "./graph-names.ts";
import type { GraphVariables } from "./graph-variables.ts";
import type { ReductionLayout } from "./reduction-layout.ts";
import { alignedLength } from "./shared-vector.ts";

/** What an update is added to. */
export interface UpdateGround {
  readonly variables: GraphVariables;
  readonly layout: ReductionLayout;
}

/** Adds the place where the reduced vector is fed. */
export function addReducedInput(nodes: GraphNode[], layout: ReductionLayout): void {
  const scope = new GraphScope(nodes, "");
  scope.placeholder(graphNames.reduced, dataTypes.float32, [alignedLength(layout.size)]);
}

/** Adds AdamW as `torch.optim.AdamW` computes it; the scalars are those of `optimizer-scalars.ts`. */
export function addUpdate(
  nodes: GraphNode[],
  ground: UpdateGround,
  purpose: { readonly optimizer: EngineOptimizer; readonly kernels: boolean },
): void {
  const scope = new GraphScope(nodes, "update/");
  const scalars = updateScalarNames.map((name) => scope.placeholder(name, dataTypes.float32, []));
  const adam = purpose.kernels ? fusedAdam : composedAdam;
  const settled = scope.placeholder("settled", dataTypes.float32, []);
  const updates = adam(scope, ground, { optimizer: purpose.optimizer, scalars, settled });
  const averages = addAverages(scope, ground, scalars.at(-1) ?? "");
  scope.after([...updates, ...averages], "done");
}

/** Adds the assignment of every buffer's average; gives the nodes that do it. @param bufferScale 1 ÷ weight */
export function addAverages(
  scope: GraphScope,
  { variables, layout }: UpdateGround,
  bufferScale: string,
): readonly string[] {
  let offset = layout.trainable.reduce((sum, entry) => sum + entry.size, 0);
  return layout.buffers.map((entry) => {
    const sum = pieceOf(scope, offset, entry);
    offset += entry.size;
    const value = scope.float("Mul", sum, bufferScale);
    return variables.assign(scope, variables.handle("parameters", entry), value);
  });
}

function pieceOf(scope: GraphScope, offset: number, { size, shape }: TableEntry): string {
  return scope.reshape(scope.slice(graphNames.reduced, offset, size), shape);
}

interface AdamMeans {
  readonly optimizer: EngineOptimizer;
  /** Placeholders in the order of `updateScalarNames`. */
  readonly scalars: readonly string[];
  /** Placeholder of `graphNames.settled`. */
  readonly settled: string;
}

const updated = ["parameters", "firstMoment", "secondMoment"] as const;

/** Places of the trained tensors in the vector. */
function offsetsOf({ trainable }: ReductionLayout): readonly number[] {
  let offset = 0;
  return trainable.map(({ size }) => {
    offset += size;
    return offset - size;
  });
}

/** What kernels that update tensors are told: how many there are, where each lies in the vector, and which of them decay. */
export function updateAttributes(
  layout: ReductionLayout,
  { weightDecay, beta1, beta2 }: EngineOptimizer,
): Readonly<Record<"count" | "offsets" | "shrinks" | "beta1" | "beta2", AttributeValue>> {
  const shrinks = layout.trainable.map(({ decay }) => (decay && weightDecay !== 0 ? 1 : 0));
  return {
    count: { kind: "int", int: layout.trainable.length },
    offsets: { kind: "ints", ints: offsetsOf(layout) },
    shrinks: { kind: "ints", ints: shrinks },
    beta1: { kind: "float", float: beta1 },
    beta2: { kind: "float", float: beta2 },
  };
}

/** Adds one kernel for all tensors, which reads gradients where the reduced vector lies. */
function fusedAdam(
  scope: GraphScope,
  { variables, layout }: UpdateGround,
  { optimizer, scalars, settled }: AdamMeans,
): readonly string[] {
  const [learningRate = "", epsilon = "", scale = "", decay = ""] = scalars;
  const handles = updated.flatMap((section) =>
    layout.trainable.map((entry) => variables.handle(section, entry)),
  );
  const fed = [graphNames.reduced, learningRate, epsilon, scale, decay, settled];
  const attributes = updateAttributes(layout, optimizer);
  return [scope.add("RingmasterAdamW", [...handles, ...fed], attributes)];
}

/** The same of TensorFlow's own ops. */
function composedAdam(
  scope: GraphScope,
  { variables, layout }: UpdateGround,
  { optimizer, scalars }: AdamMeans,
): readonly string[] {
  const [learningRate = "", epsilon = "", scale = "", decay = ""] = scalars;
  const zero = scope.floats([0], []);
  const beta1 = scope.floats([optimizer.beta1], []);
  const beta2 = scope.floats([optimizer.beta2], []);
  const no = { kind: "bool", bool: false } as const;
  const offsets = offsetsOf(layout);
  return layout.trainable.map((entry, index) => {
    const [variable = "", ...moments] = updated.map((section) => variables.handle(section, entry));
    const before: string[] = [];
    if (entry.decay && optimizer.weightDecay !== 0) {
      const shrink = scope.float("Mul", variables.read(scope, variable), decay);
      const dtype = { dtype: typeOf(dataTypes.float32) };
      before.push(`^${scope.add("AssignSubVariableOp", [variable, shrink], dtype)}`);
    }
    const gradient = scope.float("Mul", pieceOf(scope, offsets[index] ?? 0, entry), scale);
    // β₁ᵗ and β₂ᵗ are fed as 0: the bias corrections are in the learning rate and epsilon.
    const fed = [zero, zero, learningRate, beta1, beta2, epsilon, gradient];
    return scope.add("ResourceApplyAdam", [variable, ...moments, ...fed, ...before], {
      T: typeOf(dataTypes.float32),
      use_locking: no,
      use_nesterov: no,
    });
  });
}
