/** Records a model's programs: each twice, with example batches, seeds and step that differ. */
import * as tf from "@tensorflow/tfjs";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { Batch, InputSpec, Model, Phase, PhaseContext, PhaseOutputs } from "../model/model.ts";
import { dropoutMask, dropoutSeed } from "./dropout.ts";
import { refuseFrozenValues, type Recording } from "./recorder.ts";
import type { TensorFlowBackend } from "./tensorflow-backend.ts";

/** Variables of a model while it is recorded or run eagerly. */
export interface ModelVariables {
  readonly byName: Readonly<Record<string, tf.Variable>>;
  readonly trainable: readonly tf.Variable[];
  dispose(): void;
}

/** Makes tfjs variables for a table; `valueOf` gives their first values (zeros by default). */
export function makeVariables(
  table: ParameterTable,
  valueOf: (name: string, shape: number[]) => tf.Tensor = (_name, shape) => tf.zeros(shape),
): ModelVariables {
  const byName: Record<string, tf.Variable> = {};
  const trainable: tf.Variable[] = [];
  for (const entry of table.entries) {
    const value = valueOf(entry.name, [...entry.shape]);
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

/** Reference of a variable's value within a recording. */
export function variableReference(index: number): string {
  return `variable/${index}`;
}

/** Reference of an input within a recording. */
export function inputReference(name: string): string {
  return `input/${name}`;
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
      // Copied, so that tfjs may keep the array until the tensor is first used.
      return [spec.name, tf.tensor(values.slice(), [...spec.shape], spec.dtype)];
    }),
  );
}

/** The name of the input that carries the dropout seed. */
export const seedInput: InputSpec = { name: "seed", shape: [2], dtype: "int32" };

/**
 * Runs a model function in a context of its own; returns its tensors, everything else is disposed of. Dropout masks live
 * until the function has returned: gradient functions use them after the forward pass has been tidied up.
 */
export function runInContext(
  backend: TensorFlowBackend,
  variables: ModelVariables,
  inputs: Readonly<Record<string, tf.Tensor>>,
  source: Pick<ProgramSource, "run" | "training">,
): Record<string, tf.Tensor> {
  const masks: tf.Tensor[] = [];
  const context: PhaseContext = {
    variables: variables.byName,
    trainable: variables.trainable,
    inputs,
    training: source.training,
    dropoutMask: (site, shape, rate) => {
      const seed = inputs[seedInput.name];
      if (seed === undefined || !source.training) {
        throw new Error(`Cannot drop out at ${site} while evaluating`);
      }
      const mask = tf.keep(dropoutMask(backend, seed, site, { shape, rate }));
      masks.push(mask);
      return mask;
    },
  };
  try {
    return tf.tidy(() => source.run(context));
  } finally {
    tf.dispose(masks);
  }
}

function flatten(outputs: PhaseOutputs): Record<string, tf.Tensor> {
  const named: Record<string, tf.Tensor> = {};
  for (const [name, tensor] of Object.entries(outputs.gradients ?? {}))
    named[`gradient/${name}`] = tensor;
  for (const [name, tensor] of Object.entries(outputs.buffers ?? {}))
    named[`buffer/${name}`] = tensor;
  for (const [name, tensor] of Object.entries(outputs.gathered ?? {}))
    named[`gathered/${name}`] = tensor;
  if (outputs.loss !== undefined) named["loss"] = outputs.loss;
  if (outputs.weight !== undefined) named["weight"] = outputs.weight;
  return named;
}

/** A program to record. */
export interface ProgramSource {
  readonly name: string;
  readonly inputs: readonly InputSpec[];
  run(context: PhaseContext): Record<string, tf.Tensor>;
  readonly training: boolean;
  /** Whether the outputs make a vector to be reduced, or are fetched by name. */
  readonly gives: "vector" | "named";
  exampleArrays(variant: 0 | 1): Readonly<Record<string, Float32Array | Int32Array>>;
}

/** The program of one phase at one shape. */
export function phaseSource(model: Model, shapeKey: string, phase: Phase): ProgramSource {
  const specs = model.shapes("train").get(shapeKey) ?? [];
  return {
    name: `${phase.name} at ${shapeKey}`,
    inputs: [...specs, ...phase.gathered, seedInput],
    training: true,
    gives: phase.collective === "sum" ? "vector" : "named",
    run: (context) => flatten(phase.run(context)),
    exampleArrays: (variant) => ({
      ...model.exampleBatch(shapeKey, "train", variant).arrays,
      ...exampleGathered(phase.gathered, variant),
      [seedInput.name]: dropoutSeed(BigInt(variant), variant + 1, variant),
    }),
  };
}

/** The program that evaluates one shape. */
export function evaluationSource(model: Model, shapeKey: string): ProgramSource {
  return {
    name: `evaluate at ${shapeKey}`,
    inputs: model.shapes("evaluate").get(shapeKey) ?? [],
    training: false,
    gives: "named",
    run: (context) => model.evaluate(context),
    exampleArrays: (variant): Batch["arrays"] =>
      model.exampleBatch(shapeKey, "evaluate", variant).arrays,
  };
}

function exampleGathered(
  specs: readonly InputSpec[],
  variant: 0 | 1,
): Record<string, Float32Array> {
  return Object.fromEntries(
    specs.map((spec) => {
      const length = spec.shape.reduce((product, size) => product * size, 1);
      return [spec.name, Float32Array.from({ length }, (_, i) => Math.sin(i + 3 * variant))];
    }),
  );
}

function recordOnce(
  backend: TensorFlowBackend,
  variables: ModelVariables,
  source: ProgramSource,
  variant: 0 | 1,
): Recording {
  const inputs = inputTensors(source.inputs, source.exampleArrays(variant));
  const known = new Map<number, string>();
  for (const [name, tensor] of Object.entries(inputs))
    known.set(backend.idOf(tensor), inputReference(name));
  Object.values(variables.byName).forEach((variable, index) => {
    known.set(backend.idOf(variable), variableReference(index));
  });
  const outputs: tf.Tensor[] = [];
  try {
    return backend.recorder.record(known, () => {
      const named = runInContext(backend, variables, inputs, source);
      outputs.push(...Object.values(named));
      return Object.fromEntries(
        Object.entries(named).map(([name, tensor]) => [name, backend.idOf(tensor)]),
      );
    });
  } finally {
    tf.dispose(outputs);
    tf.dispose(inputs);
  }
}

/** Records a program twice and refuses what a host value has got into. */
export function recordProgram(
  backend: TensorFlowBackend,
  variables: ModelVariables,
  source: ProgramSource,
): Recording {
  const first = recordOnce(backend, variables, source, 0);
  refuseFrozenValues(source.name, first, recordOnce(backend, variables, source, 1));
  return first;
}
