/** The best rate of a large matrix product on this worker's threads: what a step's products are measured against. */
import type { TensorFlowBinding } from "./binding.ts";
import { dataTypes } from "./graph-node.ts";

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

/**
 * Floating point operations a second, the best of several products. Takes a fifth of a second or so.
 * @param bf16 whether the products take bfloat16, as those of the job do
 */
export function measureMatmulPeak(
  binding: TensorFlowBinding,
  bf16: boolean,
  nowMs: () => number,
): number {
  const { TF_ATTR_BOOL, TF_ATTR_TYPE } = binding;
  const type = bf16 ? dataTypes.bfloat16 : dataTypes.float32;
  const attributes = [
    { name: "transpose_a", type: TF_ATTR_BOOL, value: false },
    { name: "transpose_b", type: TF_ATTR_BOOL, value: false },
    { name: "T", type: TF_ATTR_TYPE, value: type },
  ];
  const operand = makeOperand(binding, type);
  try {
    let best = Number.POSITIVE_INFINITY;
    for (let repeat = 0; repeat < repeats; repeat++) {
      const start = nowMs();
      const [product] = binding.executeOp("MatMul", attributes, [operand, operand], 1);
      best = Math.min(best, nowMs() - start);
      if (product !== undefined) binding.deleteTensor(product.id);
    }
    return (2 * size ** 3 * 1000) / best;
  } finally {
    binding.deleteTensor(operand);
  }
}
