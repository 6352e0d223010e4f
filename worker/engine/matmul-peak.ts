/** The best rate of a large matrix product on this worker's threads: what a step's products are measured against. */
import type { TensorFlowBinding } from "./binding.ts";

/** Rows, columns and depth of the product: large enough for the best rate, 12 MiB of operands and result. */
const size = 1024;
const repeats = 10;

/** Floating point operations a second, the best of several products. Takes a fifth of a second or so. */
export function measureMatmulPeak(binding: TensorFlowBinding, nowMs: () => number): number {
  const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_FLOAT } = binding;
  const attributes = [
    { name: "transpose_a", type: TF_ATTR_BOOL, value: false },
    { name: "transpose_b", type: TF_ATTR_BOOL, value: false },
    { name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT },
  ];
  const values = new Float32Array(size * size).fill(1 / size);
  const operand = binding.createTensor([size, size], TF_FLOAT, values);
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
