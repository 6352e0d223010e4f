/** Leaves out what no output depends on: tfjs computes gradients that nobody asks for, and checks that nobody reads. */
import type { Recording } from "../recorder.ts";

/** The recording without nodes that lead to no output. */
export function removeUnusedNodes(recording: Recording): Recording {
  const byName = new Map(recording.nodes.map((node) => [node.name, node]));
  const needed = new Set<string>();
  const open = Object.values(recording.outputs);
  for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
    const name = reference.replace(/^\^/u, "").split(":")[0] ?? reference;
    const node = byName.get(name);
    if (node === undefined || needed.has(name)) continue;
    needed.add(name);
    open.push(...node.inputs);
  }
  return { ...recording, nodes: recording.nodes.filter((node) => needed.has(node.name)) };
}
