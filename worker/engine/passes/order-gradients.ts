/**
 * Has gradients made in the order in which they were recorded, the last layer's first, so that they can be exchanged while
 * earlier layers still compute. TensorFlow's executor takes what became ready last: it would follow the chain of layers to
 * its end first, and make the weights' gradients afterwards, the first layer's first.
 *
 *   recorded   loss · weight · dx₂ · dW₂ · dx₁ · dW₁ · dx₀ …   what is behind an output waits for the output `lag` before that
 *
 * The edges only ever point to what comes earlier in one order of all nodes, so no circle can come of them.
 */
import type { GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";

/** Outputs that may still be on their way: what does not depend on each other is computed side by side. */
const lag = 2;

/** Name of the node that a reference (`node`, `node:1`, `^node`) points to. */
function sourceOf(reference: string): string {
  return (reference.startsWith("^") ? reference.slice(1) : reference).split(":")[0] ?? reference;
}

function barrier(index: number): string {
  return `order${index}`;
}

/** Names of the nodes that references depend on. */
function neededFor(nodes: readonly GraphNode[], references: readonly string[]): Set<string> {
  const inputsOf = new Map(nodes.map(({ name, inputs }) => [name, inputs]));
  const needed = new Set<string>();
  const open = references.map(sourceOf);
  for (let name = open.pop(); name !== undefined; name = open.pop()) {
    const inputs = inputsOf.get(name);
    if (inputs === undefined || needed.has(name)) continue;
    needed.add(name);
    open.push(...inputs.map(sourceOf));
  }
  return needed;
}

/** The recording with waits for its outputs, in the order in which they were recorded. No value changes. */
export function orderGradients(recording: Recording): Recording {
  const { nodes: recorded } = recording;
  const references = Object.entries(recording.outputs);
  // What no gradient is needed for comes first, also where it was recorded last.
  const others = references.filter(([name]) => !name.startsWith("gradient/"));
  const early = neededFor(
    recorded,
    others.map(([, reference]) => reference),
  );
  const inOrder = [
    ...recorded.filter(({ name }) => early.has(name)),
    ...recorded.filter(({ name }) => !early.has(name)),
  ];
  const outputs = new Set(references.map(([, reference]) => sourceOf(reference)));
  /** The last barrier that a node comes after, by name; counted from 0. */
  const behind = new Map<string, number>();
  const nodes: GraphNode[] = [];
  let made = 0;
  for (const node of inOrder) {
    const given = Math.max(-1, ...node.inputs.map((input) => behind.get(sourceOf(input)) ?? -1));
    const wanted = made - 1 - lag;
    const waits = node.op !== "Const" && wanted > given;
    nodes.push(waits ? { ...node, inputs: [...node.inputs, `^${barrier(wanted)}`] } : node);
    behind.set(node.name, waits ? wanted : given);
    if (!outputs.has(node.name)) continue;
    const before = made === 0 ? [] : [`^${barrier(made - 1)}`];
    const inputs = [`^${node.name}`, ...before];
    nodes.push({ name: barrier(made), op: "NoOp", inputs, attributes: {} });
    made += 1;
  }
  return { ...recording, nodes };
}
