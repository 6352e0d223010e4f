/**
 * Puts kernels of our own in the place of the blocks of composed ops that they compute. The composed ops stay, unread, for
 * `removeUnusedNodes` to take away.
 */
import type { GraphNode } from "../graph-node.ts";
import type { RecordedBlock, Recording } from "../recorder.ts";

/**
 * The recording with a kernel for every block. Values are the composed ones but for rounding.
 * @param composed ops whose blocks stay as they are
 */
export function fuseBlocks(
  recording: Recording,
  composed: ReadonlySet<string> = new Set(),
): Recording {
  const replaced = new Map<string, string>();
  const current = (reference: string): string => replaced.get(reference) ?? reference;
  const redirect = (node: GraphNode): GraphNode => ({
    ...node,
    inputs: node.inputs.map(current),
  });
  const nodes: GraphNode[] = [];
  let next = 0;
  const copyUpTo = (end: number): void => {
    for (; next < end; next++) {
      const node = recording.nodes[next];
      if (node !== undefined) nodes.push(redirect(node));
    }
  };
  const insert = (block: RecordedBlock, index: number): void => {
    const name = `block${index}`;
    const { op, attributes, inputs, outputs, part } = block;
    const placed = part === undefined ? {} : { part };
    nodes.push({ name, op, attributes, inputs: inputs.map(current), ...placed });
    for (const [output, reference] of outputs.entries()) {
      replaced.set(reference, output === 0 ? name : `${name}:${output}`);
    }
  };
  for (const [index, block] of recording.blocks.entries()) {
    if (composed.has(block.op)) continue;
    copyUpTo(block.end);
    insert(block, index);
  }
  copyUpTo(recording.nodes.length);
  const outputs = Object.fromEntries(
    Object.entries(recording.outputs).map(([name, reference]) => [name, current(reference)]),
  );
  return { ...recording, nodes, blocks: [], outputs };
}
