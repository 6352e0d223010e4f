/**
 * Puts our own kernels in the place of matrix products where TensorFlow's would give other bits with another number of threads,
 * or be slower. With AVX-512, oneDNN gives each element of a float32 product to one thread; its kernels for other processors
 * divide the depth of a product over threads when there are many of them. In bfloat16, ours rounds the operands while it
 * packs them and leaves its sums float32, where TensorFlow's wants operands cast in memory and gives a result to be cast back; and
 * where tiles are multiplied (AMX), oneDNN divides the depth over threads.
 * An element of ours is one sum in one order.
 */
import type { Precision } from "../../../foundation/precision.ts";
import { dataTypes, type GraphNode } from "../graph-node.ts";
import type { Recording } from "../recorder.ts";

/** The kernels, by what they are for. */
export const productKernels = {
  fp32: "RingmasterProduct",
  bf16: "RingmasterNarrowProduct",
} as const;

/** A precision for which there is a kernel. */
export type OwnPrecision = keyof typeof productKernels;

/**
 * For what products our own kernel is taken; null for TensorFlow's.
 * @param features of the processor, as Linux names them
 */
export function ownProductsFor(
  precision: Precision,
  features: ReadonlySet<string>,
): OwnPrecision | null {
  if (precision === "fp16") return null;
  if (precision === "fp32") return threadsDecideProducts(features) ? "fp32" : null;
  return features.has("asimd") ? null : "bf16";
}

/** Whether bits of TensorFlow's float32 products depend on the number of threads. */
function threadsDecideProducts(features: ReadonlySet<string>): boolean {
  return !["avx512f", "avx512bw", "avx512vl", "avx512dq"].every((feature) => features.has(feature));
}

/** Kernels with products within, which take bfloat16 where they are told so. */
const multiplyWithin = new Set([
  "RingmasterAttention",
  "RingmasterAttentionGradient",
  "RingmasterPackedAttention",
  "RingmasterPackedAttentionGradient",
]);

/**
 * The recording with our own products in the place of float32 ones, in bfloat16 those within other kernels too. Values are the
 * same but for rounding.
 */
export function ownProducts(recording: Recording, precision: OwnPrecision): Recording {
  const replaced = (node: GraphNode): GraphNode => {
    const { T: type, adj_x, adj_y } = node.attributes;
    if (precision === "bf16" && multiplyWithin.has(node.op)) {
      return { ...node, attributes: { ...node.attributes, narrow: { kind: "bool", bool: true } } };
    }
    const isFloat = type?.kind === "type" && type.type === dataTypes.float32;
    if (node.op !== "BatchMatMulV2" || !isFloat || adj_x === undefined || adj_y === undefined) {
      return node;
    }
    return { ...node, op: productKernels[precision], attributes: { adj_x, adj_y } };
  };
  return { ...recording, nodes: recording.nodes.map(replaced) };
}
