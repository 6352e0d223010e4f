/**
 * Mixed precision: matrix products and convolutions take bfloat16 and add up in float32, as oneDNN's do; everything else
 * (normalisation, softmax, loss, sums, the update) stays float32. What PyTorch calls autocast. A CPU without bfloat16
 * instructions computes such products a hundred times slower, so this pass runs on demand only.
 */
import { dataTypes, typeOf, type GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";

/** Ops whose inputs are narrowed, with the inputs that are numbers (others are shapes) and the attribute of their type. */
const products: ReadonlyMap<string, readonly number[]> = new Map([
  ["MatMul", [0, 1]],
  ["BatchMatMul", [0, 1]],
  ["BatchMatMulV2", [0, 1]],
  ["Conv2D", [0, 1]],
  ["Conv2DBackpropInput", [1, 2]],
  ["Conv2DBackpropFilter", [0, 2]],
]);

/** Kernels that are products in float32: their blocks stay composed where products are narrowed. */
export const wideProducts: ReadonlySet<string> = new Set(["RingmasterConvolution"]);

function castOf(name: string, input: string, [from, to]: readonly [number, number]): GraphNode {
  const attributes = {
    SrcT: typeOf(from),
    DstT: typeOf(to),
    Truncate: { kind: "bool", bool: false },
  } as const;
  return { name, op: "Cast", inputs: [input], attributes };
}

function isFloat({ attributes }: GraphNode): boolean {
  const type = attributes["T"];
  return type?.kind === "type" && type.type === dataTypes.float32;
}

/** The recording with every float32 product between casts. Inputs are rounded to the nearest bfloat16, and so is the result. */
export function narrowProducts(recording: Recording): Recording {
  const { float32, bfloat16 } = dataTypes;
  const nodes = recording.nodes.flatMap((node): GraphNode[] => {
    const narrowed = products.get(node.op);
    if (narrowed === undefined || !isFloat(node)) return [node];
    const { name, attributes } = node;
    const placed = node.part === undefined ? {} : { part: node.part };
    const inputs = [...node.inputs];
    const before = narrowed.map((index) => {
      const cast = castOf(`${name}/narrow${index}`, inputs[index] ?? "", [float32, bfloat16]);
      inputs[index] = cast.name;
      return { ...cast, ...placed };
    });
    const product = {
      ...node,
      name: `${name}/narrow`,
      inputs,
      attributes: { ...attributes, T: typeOf(bfloat16) },
    };
    const widened = castOf(name, product.name, [bfloat16, float32]);
    return [...before, product, { ...widened, ...placed }];
  });
  return { ...recording, nodes };
}
