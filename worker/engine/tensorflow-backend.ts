/** Registers tfjs's native backend over the recording binding: once per thread. */
import * as tf from "@tensorflow/tfjs";
import { NodeJSKernelBackend } from "@tensorflow/tfjs-node-gpu/dist/nodejs_kernel_backend.js";
import { loadBinding, requireHere, type OpAttribute } from "./binding.ts";
import { RecordingBinding } from "./recorder.ts";

/** The backend of this thread, with what the engine needs beyond tfjs. */
export interface TensorFlowBackend {
  readonly recorder: RecordingBinding;
  /** The binding's id of a tensor. */
  idOf(tensor: tf.Tensor): number;
  /** Runs an op that tfjs has no function for. */
  execute(op: string, attributes: OpAttribute[], inputs: readonly tf.Tensor[]): tf.Tensor;
}

let current: { readonly file: string; readonly backend: TensorFlowBackend } | null = null;

/** Loads the binding and makes it tfjs's backend. A second call with the same file gives the same backend. */
export function startBackend(bindingFile: string): TensorFlowBackend {
  if (current !== null) {
    if (current.file !== bindingFile) {
      throw new Error(`Cannot load ${bindingFile}: this thread already uses ${current.file}`);
    }
    return current.backend;
  }
  const recorder = new RecordingBinding(loadBinding(bindingFile));
  // The backend uses the calls of TensorFlowBinding and its constants, which the real binding all has.
  const binding = recorder.asBinding() as ConstructorParameters<typeof NodeJSKernelBackend>[0];
  const kernels = new NodeJSKernelBackend(binding, "ringmaster");
  tf.registerBackend("tensorflow", () => kernels, 3);
  requireHere("@tensorflow/tfjs-node-gpu/dist/register_all_kernels");
  // The backend is made at once; the promise only says so later.
  void tf.setBackend("tensorflow");
  const backend: TensorFlowBackend = {
    recorder,
    idOf: (tensor) => {
      const [id] = kernels["getInputTensorIds"]([tensor]);
      if (id === undefined) throw new Error("Cannot find a tensor's id");
      return id;
    },
    execute: (op, attributes, inputs) => kernels.executeSingleOutput(op, attributes, [...inputs]),
  };
  current = { file: bindingFile, backend };
  return backend;
}
