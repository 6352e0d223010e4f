/** The input that carries the factor of the loss while it is differentiated: a power of two. */
import type { InputSpec } from "../model/model.ts";

/** Fed to the programs that make gradients of half precision. */
export const lossScaleInput: InputSpec = { name: "lossScale", shape: [], dtype: "float32" };
