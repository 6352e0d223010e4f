/** What a model is given while it runs, eagerly or being recorded: variables, inputs, dropout masks. */
import * as tf from "@tensorflow/tfjs";
import type { ParameterTable, TableEntry } from "../../foundation/parameters/table.ts";
import type { InputSpec, PhaseContext } from "../model/model.ts";
import { shapeOf } from "../model/input-shape.ts";
import { rowsInput } from "../model/looked-up.ts";
import { dropoutMask, siteSeed } from "./dropout.ts";
import { seedInput } from "./dropout-seed.ts";
import { lossScaleInput } from "./loss-scale-input.ts";
import type { ProgramSource } from "./program-source.ts";
import type { TensorFlowBackend } from "./tensorflow-backend.ts";

/** Variables of a model while it is recorded or run eagerly. */
export interface ModelVariables {
  readonly byName: Readonly<Record<string, tf.Variable>>;
  readonly trainable: readonly tf.Variable[];
  dispose(): void;
}

/** Makes tfjs variables for a table; `valueOf` gives their first values. */
export function makeVariables(
  table: ParameterTable,
  valueOf: (entry: TableEntry) => tf.Tensor,
): ModelVariables {
  const byName: Record<string, tf.Variable> = {};
  const trainable: tf.Variable[] = [];
  for (const entry of table.entries) {
    const value = valueOf(entry);
    const variable = tf.variable(value, entry.trainableOffset !== null);
    value.dispose();
    byName[entry.name] = variable;
    if (entry.trainableOffset !== null) trainable.push(variable);
  }
  return {
    byName,
    trainable,
    dispose: () => {
      for (const variable of Object.values(byName)) variable.dispose();
    },
  };
}

/** Puts a batch's arrays into tensors. */
export function inputTensors(
  specs: readonly InputSpec[],
  arrays: Readonly<Record<string, Float32Array | Int32Array>>,
): Record<string, tf.Tensor> {
  return Object.fromEntries(
    specs.map((spec) => {
      const values = arrays[spec.name];
      if (values === undefined)
        throw new Error(`Cannot run a program: input ${spec.name} is missing`);
      const shape = shapeOf(spec, values.length);
      if (shape === null)
        throw new Error(`Cannot run a program: ${values.length} values do not fit ${spec.name}`);
      // Copied, so that tfjs may keep the array until the tensor is first used.
      return [spec.name, tf.tensor(values.slice(), [...shape], spec.dtype)];
    }),
  );
}

/**
 * Runs a model function in a context of its own; returns its tensors, everything else is disposed of. Dropout seeds live
 * until the function has returned: gradient functions use them after the forward pass has been tidied up. Masks are made anew
 * where they are used, and live no longer.
 */
export function runInContext(
  backend: TensorFlowBackend,
  variables: ModelVariables,
  inputs: Readonly<Record<string, tf.Tensor>>,
  source: Pick<ProgramSource, "run" | "training" | "rowTensors">,
): Record<string, tf.Tensor> {
  const rowsGiven = giveRows(variables, inputs, source);
  const kept: tf.Tensor[] = [];
  const keep = (tensor: tf.Tensor): tf.Tensor => {
    kept.push(tf.keep(tensor));
    return tensor;
  };
  const seedOf = (site: string): tf.Tensor => {
    const seed = inputs[seedInput.name];
    if (seed === undefined || !source.training) {
      throw new Error(`Cannot drop out at ${site} while evaluating`);
    }
    return siteSeed(seed, site);
  };
  const context: PhaseContext = {
    ...rowsGiven.variables,
    inputs,
    training: source.training,
    lossScale: inputs[lossScaleInput.name] ?? null,
    dropoutMask: (site, shape, rate) =>
      tf.tidy(() => dropoutMask(backend, seedOf(site), { shape, rate })),
    dropoutSeed: (site) => keep(tf.tidy(() => seedOf(site))),
    segment: (run) => backend.recorder.recordSegment(run),
    backwardFollows: () => backend.recorder.beginBackward(),
    block: (kernel, given, compose) => {
      const outputs = compose();
      const idsOf = (tensors: readonly tf.Tensor[]) =>
        tensors.map((tensor) => backend.idOf(tensor));
      backend.recorder.noteBlock(kernel, { inputs: idsOf(given), outputs: idsOf(outputs) });
      return outputs;
    },
  };
  try {
    return tf.tidy(() => source.run(context));
  } finally {
    tf.dispose(kept);
    tf.dispose(rowsGiven.rows);
  }
}

/** Puts the touched rows of looked-up tensors in the wholes' place; they are to be disposed of. */
function giveRows(
  { byName, trainable }: ModelVariables,
  inputs: Readonly<Record<string, tf.Tensor>>,
  { rowTensors }: Pick<ProgramSource, "rowTensors">,
) {
  const replaced = new Map<tf.Variable | undefined, tf.Variable>();
  for (const { tensor } of rowTensors) {
    const [whole, rows] = [byName[tensor], inputs[rowsInput(tensor)]];
    if (whole === undefined || rows === undefined)
      throw new Error(`Cannot run a program: rows of ${tensor} are missing`);
    const touched = tf.tidy(() => tf.gather<tf.Tensor>(whole, rows as tf.Tensor1D));
    replaced.set(whole, tf.variable(touched));
    touched.dispose();
  }
  const chosen = (variable: tf.Variable): tf.Variable => replaced.get(variable) ?? variable;
  const names = Object.entries(byName).map(([name, variable]) => [name, chosen(variable)] as const);
  return {
    variables: { variables: Object.fromEntries(names), trainable: trainable.map(chosen) },
    rows: [...replaced.values()],
  };
}
