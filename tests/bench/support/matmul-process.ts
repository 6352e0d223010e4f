/** Measures matrix products through our binding, TensorFlow's and our own kernels'; a process of its own, with the workers' settings. */
import * as tf from "@tensorflow/tfjs";
import { z } from "zod";
import { productKernels } from "../../../worker/engine/passes/own-products.ts";
import { startBackend } from "../../../worker/engine/tensorflow-backend.ts";

const commandSchema = z.object({
  bindingFile: z.string(),
  /** TensorFlow's op, or a kernel of ours. */
  op: z.enum(["MatMul", ...Object.values(productKernels)]),
  calls: z.number(),
  products: z.array(
    z.object({
      m: z.number(),
      k: z.number(),
      n: z.number(),
      transposeA: z.boolean(),
      transposeB: z.boolean(),
    }),
  ),
});

type Command = z.infer<typeof commandSchema>;

const operands = new Map<string, readonly [tf.Tensor, tf.Tensor]>();

function measure(command: Command, product: Command["products"][number]): number {
  const backend = startBackend(command.bindingFile);
  const { m, k, n, transposeA, transposeB } = product;
  const key = JSON.stringify(product);
  const [a, b] = operands.get(key) ?? [
    tf.fill(transposeA ? [k, m] : [m, k], 0.5),
    tf.fill(transposeB ? [n, k] : [k, n], 0.25),
  ];
  operands.set(key, [a, b]);
  const { TF_ATTR_BOOL, TF_ATTR_TYPE, TF_FLOAT } = backend.recorder.real;
  const isOwn = command.op !== "MatMul";
  const attributes = [
    { name: isOwn ? "adj_x" : "transpose_a", type: TF_ATTR_BOOL, value: transposeA },
    { name: isOwn ? "adj_y" : "transpose_b", type: TF_ATTR_BOOL, value: transposeB },
    ...(isOwn ? [] : [{ name: "T", type: TF_ATTR_TYPE, value: TF_FLOAT }]),
  ];
  const once = (): void => backend.execute(command.op, attributes, [a, b]).dispose();
  once();
  const start = performance.now();
  for (let call = 0; call < command.calls; call++) once();
  return (performance.now() - start) / command.calls;
}

process.on("message", (message) => {
  const command = commandSchema.parse(message);
  process.send?.({ ms: command.products.map((product) => measure(command, product)) });
});
