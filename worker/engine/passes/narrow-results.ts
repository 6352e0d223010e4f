/**
 * Has kernels give bfloat16 where only narrow products read what they give: those would round it so when they pack it, and it
 * takes half the memory on the way. No bit of what a program gives changes.
 */
import { dataTypes, typeOf, type AttributeValue, type GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";
import { plainReference } from "../references.ts";
import { productKernels } from "./own-products.ts";

/** Outputs that can be narrow, by kernel and number: the attribute that says so. */
const results: ReadonlyMap<string, ReadonlyMap<number, string>> = new Map([
  ["RingmasterGelu", new Map([[0, "Ty"]])],
  ["RingmasterGeluGradient", new Map([[0, "Tdx"]])],
  ["RingmasterLayerNormGradient", new Map([[0, "Tdx"]])],
  ["RingmasterAttention", new Map([[0, "Tcontext"]])],
  ["RingmasterAttentionGradient", new Map([[0, "Tdprojected"]])],
  ["RingmasterPackedAttention", new Map([[0, "Tcontext"]])],
  ["RingmasterPackedAttentionGradient", new Map([[0, "Tdprojected"]])],
]);

/** Inputs that are rounded before anything is made of them, or not looked at where products are narrow. */
const readers: ReadonlyMap<string, ReadonlyMap<number, string>> = new Map([
  [
    productKernels.bf16,
    new Map([
      [0, "Ta"],
      [1, "Tb"],
    ]),
  ],
  ["RingmasterAttentionGradient", new Map([[5, "Tcontext"]])],
  ["RingmasterPackedAttentionGradient", new Map([[6, "Tcontext"]])],
]);

/** A kernel whose dx is its other result too where nothing is dropped. */
const sharesResult = "RingmasterLayerNormGradient";

function dropsNothing({ op, attributes: { rate } }: GraphNode): boolean {
  return op === sharesResult && rate?.kind === "float" && rate.float === 0;
}

/** The recording with narrow results. For what `ownProducts` has made of products in bfloat16. */
export function narrowResults(recording: Recording): Recording {
  const { nodes, outputs } = recording;
  const read = new Map<string, boolean>();
  const note = (reference: string, isReader: boolean): void => {
    const name = plainReference(reference);
    read.set(name, isReader && (read.get(name) ?? true));
  };
  for (const { op, inputs } of nodes)
    for (const [index, input] of inputs.entries())
      note(input, readers.get(op)?.get(index) !== undefined);
  for (const reference of Object.values(outputs)) note(reference, false);
  const narrow = new Set<string>();
  const given = (node: GraphNode): readonly string[] => {
    const attributes: string[] = [];
    if (dropsNothing(node)) return attributes;
    for (const [index, attribute] of results.get(node.op) ?? []) {
      const name = index === 0 ? node.name : `${node.name}:${index}`;
      if (read.get(name) !== true) continue;
      narrow.add(name);
      attributes.push(attribute);
    }
    return attributes;
  };
  const types = new Map(nodes.map((node) => [node.name, [...given(node)]]));
  for (const { name, op, inputs } of nodes)
    for (const [index, attribute] of readers.get(op) ?? [])
      if (narrow.has(plainReference(inputs[index] ?? ""))) types.get(name)?.push(attribute);
  return {
    ...recording,
    nodes: nodes.map((node) => withTypes(node, types.get(node.name) ?? [])),
  };
}

function withTypes(node: GraphNode, names: readonly string[]): GraphNode {
  if (names.length === 0) return node;
  const bfloat16: AttributeValue = typeOf(dataTypes.bfloat16);
  const types = Object.fromEntries(names.map((name) => [name, bfloat16]));
  return { ...node, attributes: { ...node.attributes, ...types } };
}
