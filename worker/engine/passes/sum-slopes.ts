/**
 * Has the gradients of LayerNorm and dropout add up the slopes of their two readers, a residual connection and a product: the sum need
 * not lie in memory. The kernels add what the node added, so no bit changes.
 */
import { dataTypes, type GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";
import { plainReference } from "../references.ts";

/** The kernels. Dropout's is its own gradient; what is dropped out forward may be a sum of another kind. */
const gradients: ReadonlySet<string> = new Set([
  "RingmasterLayerNormGradient",
  "RingmasterDropout",
]);

/** How often each reference is read. */
function countReaders({ nodes, outputs }: Recording): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  const read = [...nodes.flatMap(({ inputs }) => inputs), ...Object.values(outputs)];
  for (const reference of read) {
    const name = plainReference(reference);
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return counts;
}

function isGradient({ op, part }: GraphNode): boolean {
  return gradients.has(op) && part === "backward";
}

function addsFloats({ op, attributes: { T: type } }: GraphNode): boolean {
  return /^Add(V2)?$/u.test(op) && type?.kind === "type" && type.type === dataTypes.float32;
}

/** The recording with both slopes given to the kernels, where nothing else reads their sum; the sums are gone. */
export function sumSlopes(recording: Recording): Recording {
  const { nodes } = recording;
  const readers = countReaders(recording);
  const sums = new Map(
    nodes
      .filter((node) => addsFloats(node) && readers.get(node.name) === 1)
      .map((node) => [node.name, node] as const),
  );
  const gone = new Set<string>();
  const withBoth = nodes.map((node) => {
    const [slope = "", ...others] = node.inputs;
    const sum = isGradient(node) ? sums.get(plainReference(slope)) : undefined;
    if (sum === undefined) return node;
    gone.add(sum.name);
    const attributes = { ...node.attributes, N: { kind: "int", int: sum.inputs.length } } as const;
    return { ...node, inputs: [...sum.inputs, ...others], attributes };
  });
  return { ...recording, nodes: withBoth.filter(({ name }) => !gone.has(name)) };
}
