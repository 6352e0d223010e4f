/** Records a model's programs: each twice, with variables, example batches, seeds and step that differ. */
import * as tf from "@tensorflow/tfjs";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { refuseFrozenValues } from "./compare-recordings.ts";
import { isOpen } from "../model/input-shape.ts";
import { fuseBlocks } from "./passes/fuse-blocks.ts";
import { removeUnusedNodes } from "./passes/remove-unused-nodes.ts";
import { inputTensors, makeVariables, runInContext, type ModelVariables } from "./model-context.ts";
import type { ProgramSource } from "./program-source.ts";
import { RecordingError, type KnownTensor, type Recording } from "./recorder.ts";
import { inputReference, variableReference } from "./references.ts";
import type { TensorFlowBackend } from "./tensorflow-backend.ts";

function recordOnce(
  backend: TensorFlowBackend,
  variables: ModelVariables,
  source: ProgramSource,
  variant: 0 | 1,
): Recording {
  const inputs = inputTensors(source.inputs, source.exampleArrays(variant));
  const known = new Map<number, KnownTensor>();
  for (const [name, tensor] of Object.entries(inputs)) {
    known.set(backend.idOf(tensor), { reference: inputReference(name), parameter: null });
  }
  const parameters = Object.entries(variables.byName);
  const ids = parameters.map(([, variable]) => backend.idOf(variable));
  for (const [index, [parameter]] of parameters.entries()) {
    known.set(ids[index] ?? -1, { reference: variableReference(index), parameter });
  }
  const outputs: tf.Tensor[] = [];
  try {
    return backend.recorder.record(known, () => {
      const named = runInContext(backend, variables, inputs, source);
      outputs.push(...Object.values(named));
      const assigned = parameters.find(
        ([, variable], index) => backend.idOf(variable) !== ids[index],
      );
      if (assigned !== undefined) {
        throw new RecordingError(
          `Cannot record ${source.name} as it assigns ${assigned[0]}: variables change in the update only`,
        );
      }
      return Object.fromEntries(
        Object.entries(named).map(([name, tensor]) => [name, backend.idOf(tensor)]),
      );
    });
  } finally {
    tf.dispose(outputs);
    tf.dispose(inputs);
  }
}

/**
 * Values to record with: different in the two variants, or what depends on values would go unnoticed. Positive, because
 * variances are among them.
 */
function exampleVariables(
  backend: TensorFlowBackend,
  table: ParameterTable,
  variant: 0 | 1,
): ModelVariables {
  const { TF_ATTR_TYPE, TF_INT32, TF_FLOAT } = backend.recorder.real;
  const typed = (name: string, value: number) => ({ name, type: TF_ATTR_TYPE, value });
  const types = [typed("dtype", TF_FLOAT), typed("T", TF_INT32), typed("Tseed", TF_INT32)];
  return makeVariables(table, ({ shape, offset }) =>
    tf.tidy(() => {
      const form = tf.tensor1d([...shape], "int32");
      const seed = tf.tensor1d([offset, variant], "int32");
      const uniform = backend.execute("StatelessRandomUniform", types, [form, seed]);
      return tf.add(tf.mul(uniform, 0.1), 0.01);
    }),
  );
}

/** Records every program twice and refuses what a value of the host has got into. Recordings are by key. */
export function recordPrograms(
  backend: TensorFlowBackend,
  table: ParameterTable,
  sources: ReadonlyMap<string, ProgramSource>,
): ReadonlyMap<string, Recording> {
  const recordAll = (variant: 0 | 1, seen: (key: string, recording: Recording) => void): void => {
    const variables = exampleVariables(backend, table, variant);
    try {
      for (const [key, source] of sources) {
        seen(key, recordOnce(backend, variables, source, variant));
      }
    } finally {
      variables.dispose();
    }
  };
  const recordings = new Map<string, Recording>();
  recordAll(0, (key, recording) => recordings.set(key, recording));
  recordAll(1, (key, recording) => {
    const first = recordings.get(key);
    const source = sources.get(key);
    if (first === undefined || source === undefined) return;
    // An open program's examples differ in length, and so do the blocks that kernels take the place of.
    const kept = (whole: Recording): Recording =>
      source.inputs.some(isOpen) ? removeUnusedNodes(fuseBlocks(whole)) : whole;
    refuseFrozenValues(source.name, kept(first), kept(recording));
  });
  return recordings;
}
