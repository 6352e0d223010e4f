/**
 * Norm and update over the reduced vector, which is fed to both without a copy. Nothing changes but in the update, and
 * there everything changes in one call: weights and moments by AdamW, buffers to the average of their sums.
 */
import type { EngineOptimizer } from "./engine.ts";
import { dataTypes, GraphScope, typeOf, type GraphNode } from "./graph-node.ts";
import { graphNames, updateScalarNames } from "./graph-names.ts";
import type { GraphVariables } from "./graph-variables.ts";
import type { ReductionLayout } from "./reduction-layout.ts";
import { alignedLength } from "./shared-vector.ts";

/** Elements of a row whose norm is taken on one thread, in one order; what is left over is the host's. */
export const normRow = 1024;

/** Adds the place where the reduced vector is fed. */
export function addReducedInput(nodes: GraphNode[], layout: ReductionLayout): void {
  const scope = new GraphScope(nodes, "");
  scope.placeholder(graphNames.reduced, dataTypes.float32, [alignedLength(layout.size)]);
}

/** Adds the norms of all whole rows of the gradient. Each has one order of adding, whatever the number of threads. */
export function addNorm(nodes: GraphNode[], trainableSize: number): void {
  const scope = new GraphScope(nodes, "norm/");
  const rows = Math.floor(trainableSize / normRow);
  if (rows === 0) return;
  const whole = scope.slice(graphNames.reduced, 0, rows * normRow);
  scope.add(
    "EuclideanNorm",
    [scope.reshape(whole, [rows, normRow]), scope.ints([1])],
    {
      T: typeOf(dataTypes.float32),
      Tidx: typeOf(dataTypes.int32),
      keep_dims: { kind: "bool", bool: false },
    },
    "rows",
  );
}

/** Adds AdamW as `torch.optim.AdamW` computes it; the scalars are those of `optimizer-scalars.ts`. */
export function addUpdate(
  nodes: GraphNode[],
  variables: GraphVariables,
  layout: ReductionLayout,
  optimizer: EngineOptimizer,
): void {
  const scope = new GraphScope(nodes, "update/");
  const [learningRate = "", epsilon = "", scale = "", decay = "", bufferScale = ""] =
    updateScalarNames.map((name) => scope.placeholder(name, dataTypes.float32, []));
  const zero = scope.floats([0], []);
  const beta1 = scope.floats([optimizer.beta1], []);
  const beta2 = scope.floats([optimizer.beta2], []);
  let offset = 0;
  const nextPiece = (shape: readonly number[], size: number): string => {
    const piece = scope.slice(graphNames.reduced, offset, size);
    offset += size;
    return scope.reshape(piece, shape);
  };
  const float = { T: typeOf(dataTypes.float32) } as const;
  const no = { kind: "bool", bool: false } as const;
  const updates = layout.trainable.map((entry) => {
    const variable = variables.handle("parameters", entry);
    const before: string[] = [];
    if (entry.decay && optimizer.weightDecay !== 0) {
      const shrink = scope.float("Mul", variables.read(scope, variable), decay);
      const dtype = { dtype: typeOf(dataTypes.float32) };
      before.push(`^${scope.add("AssignSubVariableOp", [variable, shrink], dtype)}`);
    }
    const moments = [
      variables.handle("firstMoment", entry),
      variables.handle("secondMoment", entry),
    ];
    const gradient = scope.float("Mul", nextPiece(entry.shape, entry.size), scale);
    // β₁ᵗ and β₂ᵗ are fed as 0: the bias corrections are in the learning rate and epsilon.
    const fed = [zero, zero, learningRate, beta1, beta2, epsilon, gradient];
    return scope.add("ResourceApplyAdam", [variable, ...moments, ...fed, ...before], {
      ...float,
      use_locking: no,
      use_nesterov: no,
    });
  });
  const averages = layout.buffers.map((entry) => {
    const value = scope.float("Mul", nextPiece(entry.shape, entry.size), bufferScale);
    return variables.assign(scope, variables.handle("parameters", entry), value);
  });
  scope.after([...updates, ...averages], "done");
}
