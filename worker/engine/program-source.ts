/** A model's programs, as they are recorded or run eagerly: what they are fed, what they give, and examples. */
import type * as tf from "@tensorflow/tfjs";
import type { Batch, InputSpec, Model, Phase, PhaseContext, PhaseOutputs } from "../model/model.ts";
import type { Precision } from "../../foundation/precision.ts";
import { dropoutSeed, seedInput } from "./dropout-seed.ts";
import { lossScaleInput } from "./loss-scale-input.ts";
import { inputsOfRows, rowsOfBatch, type RowTensor } from "./row-tensors.ts";

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
  /** Tensors of which the program is given the touched rows. */
  readonly rowTensors: readonly RowTensor[];
  run(context: PhaseContext): Record<string, tf.Tensor>;
  readonly training: boolean;
  /** Whether the outputs make a vector to be reduced, or are fetched by name. */
  readonly gives: "vector" | "named";
  exampleArrays(variant: 0 | 1): Readonly<Record<string, Float32Array | Int32Array>>;
}

/** The program of one phase at one shape. */
export function phaseSource(
  model: Model,
  { shapeKey, precision }: { readonly shapeKey: string; readonly precision: Precision },
  phase: Phase,
  rowTensors: readonly RowTensor[],
): ProgramSource {
  const specs = model.shapes("train").get(shapeKey) ?? [];
  const scaled = precision === "fp16" && phase.collective === "sum";
  return {
    name: `${phase.name} at ${shapeKey}`,
    inputs: [
      ...specs,
      ...phase.gathered,
      seedInput,
      ...inputsOfRows(rowTensors, specs),
      ...(scaled ? [lossScaleInput] : []),
    ],
    rowTensors,
    training: true,
    gives: phase.collective === "sum" ? "vector" : "named",
    run: (context) => flatten(phase.run(context)),
    exampleArrays: (variant) => {
      const { arrays } = model.exampleBatch(shapeKey, "train", variant);
      return {
        ...arrays,
        ...exampleGathered(phase.gathered, variant),
        ...rowsOfBatch(rowTensors, arrays).arrays,
        [seedInput.name]: dropoutSeed(BigInt(variant), variant + 1, variant),
        [lossScaleInput.name]: Float32Array.of(2 + variant),
      };
    },
  };
}

/** The program that evaluates one shape. */
export function evaluationSource(model: Model, shapeKey: string): ProgramSource {
  return {
    name: `evaluate at ${shapeKey}`,
    inputs: model.shapes("evaluate").get(shapeKey) ?? [],
    rowTensors: [],
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
