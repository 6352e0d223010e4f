/** Which programs a job needs, recorded from its model; and what can be kept of them on disk. */
import { deviceInUse, traitsOf } from "../../foundation/device.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { isOpen } from "../model/input-shape.ts";
import type { Model } from "../model/model.ts";
import type { PhaseInfo, PrepareOptions } from "./engine.ts";
import type { PassGround } from "./graph-passes.ts";
import { ownProductsHere } from "./own-products-here.ts";
import { assembleGraph } from "./program-graph.ts";
import { evaluationKey, phaseKey, type ProgramIndex } from "./program-index.ts";
import { evaluationSource, phaseSource, type ProgramSource } from "./program-source.ts";
import { recordPrograms } from "./record-programs.ts";
import type { RecordedProgram } from "./recorded-graph.ts";
import { encodeSavedModel } from "./saved-model.ts";
import { rowTensorsOf } from "./row-tensors.ts";
import type { TensorFlowBackend } from "./tensorflow-backend.ts";

/** A graph with its index. */
export interface ProgramSet {
  readonly index: ProgramIndex;
  /** Bytes of `saved_model.pb`. */
  readonly savedModel: Uint8Array;
}

/** All programs of a model, by key. */
export function programSources(
  model: Model,
  table: ParameterTable,
  { training, precision }: Pick<PrepareOptions, "training" | "precision">,
): ReadonlyMap<string, ProgramSource> {
  const sources = new Map<string, ProgramSource>();
  if (training) {
    const rowTensors = rowTensorsOf(model, table);
    for (const shapeKey of model.shapes("train").keys()) {
      model.phases(shapeKey, table).forEach((phase, number) => {
        sources.set(
          phaseKey(number, shapeKey),
          phaseSource(model, { shapeKey, precision }, phase, rowTensors),
        );
      });
    }
  }
  for (const shapeKey of model.shapes("evaluate").keys()) {
    sources.set(evaluationKey(shapeKey), evaluationSource(model, shapeKey));
  }
  return sources;
}

/** What the step loop needs to know of a model's phases; they are the same at every shape. */
export function phaseInfos(model: Model, table: ParameterTable): readonly PhaseInfo[] {
  const [shapeKey] = model.shapes("train").keys();
  if (shapeKey === undefined) throw new Error(`Cannot train ${model.family}: it has no shapes`);
  return model
    .phases(shapeKey, table)
    .map(({ name, collective, gathered }) => ({ name, collective, gathered: [...gathered] }));
}

/** Throws where a program of any length would keep its blocks, which have the length that they were recorded with. */
export function refuseOpenBlocks(
  sources: ReadonlyMap<string, Pick<ProgramSource, "name" | "inputs">>,
  kernels: boolean,
): void {
  const open = [...sources.values()].find(({ inputs }) => inputs.some(isOpen));
  if (open !== undefined && !kernels)
    throw new Error(`Cannot record ${open.name} for any length: this device has no kernels`);
}

/** What programs are recorded from. */
export type RecordOptions = PrepareOptions & Pick<PassGround, "withoutPasses">;

/** Records every program of a model and assembles them to one graph. */
export function recordProgramSet(
  backend: TensorFlowBackend,
  model: Model,
  table: ParameterTable,
  options: RecordOptions,
): ProgramSet {
  const sources = programSources(model, table, options);
  const kernels = traitsOf(deviceInUse(backend.recorder.real)).hasKernels;
  refuseOpenBlocks(sources, kernels);
  const recordings = recordPrograms(backend, table, sources);
  const programs = [...sources].flatMap(([key, { inputs, gives }]): RecordedProgram[] => {
    const recording = recordings.get(key);
    return recording === undefined ? [] : [{ key, inputs, gives, recording }];
  });
  const rowTensors = options.training ? rowTensorsOf(model, table) : [];
  const nodes = assembleGraph(table, programs, {
    optimizer: options.training ? options.optimizer : null,
    zeroStage: options.zeroStage ?? 0,
    kernels,
    ownProducts: ownProductsHere(options.precision, backend.recorder.real),
    precision: options.precision,
    gradientCheckpointing: options.gradientCheckpointing,
    ...(options.withoutPasses === undefined ? {} : { withoutPasses: options.withoutPasses }),
    byRows: new Set(rowTensors.map(({ tensor }) => tensor)),
  });
  return {
    index: {
      tableVersion: table.version,
      phases: options.training ? phaseInfos(model, table) : [],
      rowTensors,
      inputs: Object.fromEntries(programs.map((program) => [program.key, program.inputs])),
    },
    savedModel: encodeSavedModel(nodes, backend.recorder.real.TF_Version),
  };
}
