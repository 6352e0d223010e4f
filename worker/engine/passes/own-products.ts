/**
 * Puts our own kernels in the place of matrix products. TensorFlow's give other bits with another number of threads: oneDNN divides
 * the depth of a product over them, in float32 on processors without AVX-512, in bfloat16 where tiles are multiplied (AMX). An
 * element of ours is one sum in one order. In bfloat16, ours rounds the operands while it packs them and leaves its sums
 * float32, where TensorFlow's wants operands cast in memory and gives a result to be cast back.
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
  if (precision === "bf16") return features.has("asimd") ? null : "bf16";
  return precision === "fp16" ? null : precision;
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
