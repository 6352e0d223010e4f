/**
 * Mixed precision: matrix products and convolutions take floats of 16 bits (bfloat16, or half precision) and add up in
 * float32, as oneDNN's and cuBLAS's do; everything else (normalisation, softmax, loss, sums, the update) stays float32. What
 * PyTorch calls autocast. TensorFlow on a CPU without instructions for them computes such products a hundred times slower, so
 * this pass runs on demand only. Products that a kernel of our own computes (`own-products.ts`) are gone by then.
 */
import type { Precision } from "../../../foundation/precision.ts";
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

/** TensorFlow's type of what products take. */
export const productTypes: Readonly<Record<Precision, number>> = {
  fp32: dataTypes.float32,
  bf16: dataTypes.bfloat16,
  fp16: dataTypes.half,
};

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

/**
 * The recording with every float32 product between casts. Inputs are rounded to the nearest narrow float, and so is the result;
 * in half precision what is beyond 65,504 becomes infinite.
 */
export function narrowProducts(
  recording: Recording,
  precision: Exclude<Precision, "fp32">,
): Recording {
  const { float32 } = dataTypes;
  const narrow = productTypes[precision];
  const nodes = recording.nodes.flatMap((node): GraphNode[] => {
    const narrowed = products.get(node.op);
    if (narrowed === undefined || !isFloat(node)) return [node];
    const { name, attributes } = node;
    const placed = node.part === undefined ? {} : { part: node.part };
    const inputs = [...node.inputs];
    const before = narrowed.map((index) => {
      const cast = castOf(`${name}/narrow${index}`, inputs[index] ?? "", [float32, narrow]);
      inputs[index] = cast.name;
      return { ...cast, ...placed };
    });
    const product = {
      ...node,
      name: `${name}/narrow`,
      inputs,
      attributes: { ...attributes, T: typeOf(narrow) },
    };
    const widened = castOf(name, product.name, [narrow, float32]);
    return [...before, product, { ...widened, ...placed }];
  });
  return { ...recording, nodes };
}
