/** Computes once what is computed twice: nodes of one op, the same inputs and attributes. Constants most of all. */
import { createHash } from "node:crypto";
import type { AttributeValue, GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";

function attributeKey(value: AttributeValue): unknown {
  if (value.kind !== "tensor") return value;
  const hash = createHash("sha256").update(value.bytes).digest("base64");
  return [value.dtype, value.shape, hash];
}

function nodeKey(node: GraphNode): string {
  const attributes = Object.keys(node.attributes)
    .sort()
    .map((name) => {
      const value = node.attributes[name];
      return [name, value === undefined ? null : attributeKey(value)];
    });
  return JSON.stringify([node.op, node.inputs, attributes]);
}

/** The recording with every node once. All recorded ops are functions of their inputs, so no value changes. */
export function mergeEqualNodes(recording: Recording): Recording {
  const keptByKey = new Map<string, string>();
  const keptByName = new Map<string, string>();
  const resolve = (reference: string): string => {
    const [node = reference, output] = reference.split(":");
    const kept = keptByName.get(node) ?? node;
    return output === undefined ? kept : `${kept}:${output}`;
  };
  const nodes: GraphNode[] = [];
  for (const recorded of recording.nodes) {
    const node = { ...recorded, inputs: recorded.inputs.map(resolve) };
    const key = nodeKey(node);
    const kept = keptByKey.get(key);
    if (kept === undefined) {
      keptByKey.set(key, node.name);
      nodes.push(node);
    } else {
      keptByName.set(node.name, kept);
    }
  }
  const outputs = Object.fromEntries(
    Object.entries(recording.outputs).map(([name, reference]) => [name, resolve(reference)]),
  );
  return { ...recording, nodes, outputs };
}
