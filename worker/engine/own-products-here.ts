/** Whether products on this machine's device are our own kernels'. */
import { deviceInUse, traitsOf } from "../../foundation/device.ts";
import { processorFeatures } from "../../foundation/host/processor-features.ts";
import type { Precision } from "../../foundation/precision.ts";
import type { TensorFlowBinding } from "./binding.ts";
import { ownProductsFor, type OwnPrecision } from "./passes/own-products.ts";

/** For what products a kernel of ours is taken here; null for TensorFlow's, as on GPUs. */
export function ownProductsHere(
  precision: Precision,
  binding: Pick<TensorFlowBinding, "isUsingGpuDevice">,
): OwnPrecision | null {
  const { hasKernels } = traitsOf(deviceInUse(binding));
  return hasKernels ? ownProductsFor(precision, processorFeatures()) : null;
}
