/** Gradients as training computes them, and which of them are looked at together. */
import type { ParameterTable } from "../../../foundation/parameters/table.ts";
import type { PreparedPrograms } from "../../../worker/engine/engine.ts";
import type { RowPart } from "../../../worker/exact/block-layout.ts";

/** Tensors that are looked at together. */
export interface TensorGroup {
  readonly name: string;
  readonly elements: number;
  /** Where they lie in the vector, `[first, end)`. */
  readonly stretches: readonly (readonly [number, number])[];
}

/** Gradients and how they are laid out. */
export interface RealGradients {
  /** [gradients | loss | weight] of each microbatch, whole. */
  readonly microbatches: readonly Float32Array[];
  readonly partSizes: readonly number[];
  readonly rowParts: readonly RowPart[];
  /** The first part that is no gradient. */
  readonly wideFrom: number;
  readonly groups: readonly TensorGroup[];
}

/** Lays them out. @param of what they are of; `groupOf` gives the group of a tensor */
export function gradientsOf(
  microbatches: readonly Float32Array[],
  of: {
    readonly prepared: PreparedPrograms;
    readonly table: ParameterTable;
    readonly groupOf: (tensor: string) => string;
  },
): RealGradients {
  const { prepared, table, groupOf } = of;
  const trainable = table.entries.filter((entry) => entry.trainableOffset !== null);
  const placed = trainable.map(({ name, trainableOffset, size }) => ({
    group: groupOf(name),
    stretch: [trainableOffset ?? 0, (trainableOffset ?? 0) + size] as const,
  }));
  const names = ["all", ...new Set(placed.map(({ group }) => group))];
  const groups = names.map((name) => {
    const stretches = placed
      .filter(({ group }) => name === "all" || group === name)
      .map(({ stretch }) => stretch);
    const elements = stretches.reduce((sum, [first, end]) => sum + end - first, 0);
    return { name, stretches, elements };
  });
  return {
    microbatches,
    partSizes: prepared.reductionParts,
    rowParts: prepared.rowParts,
    wideFrom: trainable.length,
    groups,
  };
}
