/**
 * What is made of a model's own code, with tfjs: programs recorded from it, or run op by op. Loaded only for that; programs
 * that are in the cache run without it, and so start half a second sooner.
 */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { Model } from "../model/model.ts";
import { EagerRunner } from "./eager-runner.ts";
import type { PhaseInfo, PrepareOptions } from "./engine.ts";
import type { ProgramRunner } from "./program-runner.ts";
import {
  phaseInfos,
  recordProgramSet,
  type ProgramSet,
  type RecordOptions,
} from "./program-set.ts";
import { rowTensorsOf, type RowTensor } from "./row-tensors.ts";
import { startBackend } from "./tensorflow-backend.ts";

/** Records every program of a model. */
export function recordModel(
  bindingFile: string,
  model: Model,
  table: ParameterTable,
  options: RecordOptions,
): ProgramSet {
  return recordProgramSet(startBackend(bindingFile), model, table, options);
}

/** Programs that run op by op, and the phases of a step. */
export function runEagerly(
  bindingFile: string,
  model: Model,
  table: ParameterTable,
  options: PrepareOptions,
): {
  readonly runner: ProgramRunner;
  readonly phases: readonly PhaseInfo[];
  readonly rowTensors: readonly RowTensor[];
} {
  const { training, optimizer } = options;
  return {
    runner: new EagerRunner(startBackend(bindingFile), model, { table, training, optimizer }),
    phases: training ? phaseInfos(model, table) : [],
    rowTensors: training ? rowTensorsOf(model, table) : [],
  };
}
