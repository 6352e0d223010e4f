/** The best rate of a large matrix product on this worker's threads: what a step's products are measured against. */
import type { TensorFlowBinding } from "./binding.ts";
import type { Precision } from "../../foundation/precision.ts";
import { productTypes } from "./passes/narrow-products.ts";
import { productKernels, type OwnPrecision } from "./passes/own-products.ts";

/** Rows, columns and depth of the product: large enough for the best rate, 12 MiB of operands and result. */
const size = 1024;
const repeats = 10;

/** An operand in the wanted type. */
function makeOperand(binding: TensorFlowBinding, type: number): number {
  const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_FLOAT } = binding;
  const values = new Float32Array(size * size).fill(1 / size);
  const floats = binding.createTensor([size, size], TF_FLOAT, values);
  if (type === TF_FLOAT) return floats;
  const attributes = [
    { name: "SrcT", type: TF_ATTR_TYPE, value: TF_FLOAT },
    { name: "DstT", type: TF_ATTR_TYPE, value: type },
    { name: "Truncate", type: TF_ATTR_BOOL, value: false },
  ];
  const [cast] = binding.executeOp("Cast", attributes, [floats], 1);
  binding.deleteTensor(floats);
  if (cast === undefined) throw new Error("Cannot measure products: a cast gave nothing");
  return cast.id;
}

/** How a product is asked for: TensorFlow's op of a type, or our kernel. */
function productOp(binding: TensorFlowBinding, precision: Precision, own: OwnPrecision | null) {
  const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_FLOAT } = binding;
  const [a, b] = own === null ? ["transpose_a", "transpose_b"] : ["adj_x", "adj_y"];
  const turned = [a, b].map((name) => ({ name, type: TF_ATTR_BOOL, value: false }));
  if (own !== null) return { op: productKernels[own], attributes: turned, type: TF_FLOAT };
  const type = productTypes[precision];
  const attributes = [...turned, { name: "T", type: TF_ATTR_TYPE, value: type }];
  return { op: "MatMul", attributes, type };
}

/**
 * Floating point operations a second, the best of several products. Takes a fifth of a second or so.
 * @param precision what the products take, as those of the job do
 * @param own whose products the job's are: our kernel's for a precision, or null for TensorFlow's
 */
export function measureMatmulPeak(
  binding: TensorFlowBinding,
  { precision, own }: { readonly precision: Precision; readonly own: OwnPrecision | null },
  nowMs: () => number,
): number {
  const { op, attributes, type } = productOp(binding, precision, own);
  const operand = makeOperand(binding, type);
  try {
    let best = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < repeats; repeat++) {
      const start = nowMs();
      const [product] = binding.executeOp(op, attributes, [operand, operand], 1);
      best = Math.min(best, nowMs() - start);
      if (product !== undefined) binding.deleteTensor(product.id);
    }
    return (2 * size ** 3 * 1000) / best;
  } finally {
    binding.deleteTensor(operand);
  }
}
