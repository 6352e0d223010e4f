/**
 * Has products of our own that are parts of the vector put where they belong in it, so that they need not be copied there. Where
 * a program is not fed the memory of the vector, they have memory of their own as ever.
 */
import type { GraphNode } from "../graph-node.ts";
import { alignedElements } from "../shared-vector.ts";
import { productKernels } from "./own-products.ts";

/** Reference of the vector's memory. */
export const vectorReference = "vector";

/** A part of the vector. */
export interface VectorPlace {
  /** Reference of its value. */
  readonly reference: string;
  /** Its first element. */
  readonly offset: number;
}

const operands = 2;

/** The nodes with places for products. Results of ops begin with a line of the cache: others are copied. */
export function placeProducts(
  nodes: readonly GraphNode[],
  places: readonly VectorPlace[],
): readonly GraphNode[] {
  const kernels: ReadonlySet<string> = new Set(Object.values(productKernels));
  const offsets = new Map<string, number>();
  for (const { reference, offset } of places)
    if (offset % alignedElements === 0 && !offsets.has(reference)) offsets.set(reference, offset);
  return nodes.map((node) => {
    const offset = offsets.get(node.name);
    if (offset === undefined || !kernels.has(node.op)) return node;
    const inputs = node.inputs.toSpliced(operands, 0, vectorReference);
    const attributes = {
      ...node.attributes,
      places: { kind: "int", int: 1 },
      offset: { kind: "int", int: offset },
    } as const;
    return { ...node, inputs, attributes };
  });
}
