/** Runs a model's programs eagerly, op by op: for debugging, and as the reference of the recorded graphs. */
import * as tf from "@tensorflow/tfjs";
import type { ParameterTable, TableEntry } from "../../foundation/parameters/table.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { Batch, Model } from "../model/model.ts";
import type { EngineOptimizer, EngineState } from "./engine.ts";
import type { Feeds, ProgramRunner, UpdateScalars } from "./program-runner.ts";
import { seedInput } from "./dropout-seed.ts";
import { evaluationKey, phaseKey } from "./program-index.ts";
import { programSources } from "./program-set.ts";
import { inputTensors, makeVariables, runInContext, type ModelVariables } from "./model-context.ts";
import type { ProgramSource } from "./program-source.ts";
import { layOutReduction, type ReductionLayout } from "./reduction-layout.ts";
import { rowsOfBatch } from "./row-tensors.ts";
import { allocateShared } from "./shared-vector.ts";
import type { TensorFlowBackend } from "./tensorflow-backend.ts";

function floatsOf(tensor: tf.Tensor | undefined): Float32Array {
  if (tensor === undefined) throw new Error("Cannot read an output that the model did not give");
  return Float32Array.from(tensor.dataSync());
}

/** Programs as plain tfjs calls. */
export class EagerRunner implements ProgramRunner {
  readonly #backend: TensorFlowBackend;
  readonly #table: ParameterTable;
  readonly #optimizer: EngineOptimizer;
  readonly #layout: ReductionLayout;
  readonly #sources: ReadonlyMap<string, ProgramSource>;
  #variables: ModelVariables;
  #firstMoment: Float32Array;
  #secondMoment: Float32Array;
  #reduced: Float32Array | null = null;

  constructor(
    backend: TensorFlowBackend,
    model: Model,
    programs: {
      readonly table: ParameterTable;
      readonly training: boolean;
      readonly optimizer: EngineOptimizer;
    },
  ) {
    this.#backend = backend;
    this.#table = programs.table;
    this.#optimizer = programs.optimizer;
    this.#layout = layOutReduction(programs.table);
    this.#sources = programSources(model, programs.table, programs.training);
    this.#variables = makeVariables(programs.table, ({ shape }) => tf.zeros([...shape]));
    this.#firstMoment = new Float32Array(programs.table.trainableSize);
    this.#secondMoment = new Float32Array(programs.table.trainableSize);
  }

  loadState(state: EngineState): void {
    for (const entry of this.#table.entries) {
      this.#assign(entry, state.parameters.slice(entry.offset, entry.offset + entry.size));
    }
    const size = this.#table.trainableSize;
    this.#firstMoment = state.firstMoment?.slice() ?? new Float32Array(size);
    this.#secondMoment = state.secondMoment?.slice() ?? new Float32Array(size);
  }

  readState(withOptimizer: boolean, step: number): EngineState {
    const parameters = allocateShared(this.#table.stateSize);
    for (const entry of this.#table.entries) {
      parameters.set(floatsOf(this.#variables.byName[entry.name]), entry.offset);
    }
    if (!withOptimizer) return { parameters, step };
    const shared = (vector: Float32Array): Float32Array => {
      const copy = allocateShared(vector.length);
      copy.set(vector);
      return copy;
    };
    return {
      parameters,
      step,
      firstMoment: shared(this.#firstMoment),
      secondMoment: shared(this.#secondMoment),
    };
  }

  runGather(phase: number, batch: Batch, feeds: Feeds): Record<string, Float32Array> {
    return this.#run(phaseKey(phase, batch.shapeKey), batch, feeds, (outputs) =>
      Object.fromEntries(
        Object.entries(outputs).map(([name, tensor]) => [
          name.replace("gathered/", ""),
          floatsOf(tensor),
        ]),
      ),
    );
  }

  runSum(phase: number, batch: Batch, feeds: Feeds, into: Float32Array): readonly TouchedRows[] {
    const key = phaseKey(phase, batch.shapeKey);
    return this.#run(key, batch, feeds, (outputs, touched) => {
      let offset = 0;
      const put = (name: string): void => {
        const values = floatsOf(outputs[name]);
        into.set(values, offset);
        offset += values.length;
      };
      for (const entry of this.#layout.trainable) put(`gradient/${entry.name}`);
      for (const entry of this.#layout.buffers) put(`buffer/${entry.name}`);
      put("loss");
      put("weight");
      return touched;
    });
  }

  takeReduced(reduced: Float32Array): number {
    this.#reduced = reduced;
    let sum = 0;
    for (const value of reduced.subarray(0, this.#table.trainableSize)) sum += value * value;
    return sum;
  }

  update(scalars: UpdateScalars): void {
    const reduced = this.#reduced;
    if (reduced === null) throw new Error("Cannot update before a reduced vector was looked at");
    const { beta1, beta2 } = this.#optimizer;
    let offset = 0;
    for (const entry of this.#layout.trainable) {
      const values = floatsOf(this.#variables.byName[entry.name]);
      for (let i = 0; i < entry.size; i++) {
        const at = offset + i;
        const gradient = Math.fround((reduced[at] ?? 0) * scalars.scale);
        const first = beta1 * (this.#firstMoment[at] ?? 0) + (1 - beta1) * gradient;
        const second = beta2 * (this.#secondMoment[at] ?? 0) + (1 - beta2) * gradient * gradient;
        this.#firstMoment[at] = first;
        this.#secondMoment[at] = second;
        const kept = (values[i] ?? 0) * (entry.decay ? 1 - scalars.decay : 1);
        values[i] = kept - (scalars.learningRate * first) / (Math.sqrt(second) + scalars.epsilon);
      }
      this.#assign(entry, values);
      offset += entry.size;
    }
    for (const entry of this.#layout.buffers) {
      const values = reduced.slice(offset, offset + entry.size);
      this.#assign(
        entry,
        values.map((value) => value * scalars.bufferScale),
      );
      offset += entry.size;
    }
    this.#reduced = null;
  }

  evaluate(batch: Batch): { logits: Float32Array; columns: number; loss: number; weight: number } {
    return this.#run(evaluationKey(batch.shapeKey), batch, null, (outputs) => ({
      logits: floatsOf(outputs["logits"]),
      columns: outputs["logits"]?.shape[1] ?? 1,
      loss: floatsOf(outputs["loss"])[0] ?? Number.NaN,
      weight: floatsOf(outputs["weight"])[0] ?? Number.NaN,
    }));
  }

  trace(): void {
    // Ops run one by one: there is no run to be noted.
  }

  close(): void {
    this.#variables.dispose();
  }

  #assign(entry: TableEntry, values: Float32Array): void {
    const tensor = tf.tensor(values, [...entry.shape], "float32");
    this.#variables.byName[entry.name]?.assign(tensor);
    tensor.dispose();
  }

  #run<T>(
    key: string,
    batch: Batch,
    feeds: Feeds | null,
    use: (outputs: Readonly<Record<string, tf.Tensor>>, touched: readonly TouchedRows[]) => T,
  ): T {
    const source = this.#sources.get(key);
    if (source === undefined)
      throw new Error(`Cannot run program ${key}: the model has no such shape`);
    const rows = rowsOfBatch(source.rowTensors, batch.arrays);
    const arrays = {
      ...feeds?.gathered,
      ...batch.arrays,
      ...rows.arrays,
      [seedInput.name]: feeds?.seed ?? new Int32Array(2),
    };
    const inputs = inputTensors(source.inputs, arrays);
    const outputs = runInContext(this.#backend, this.#variables, inputs, source);
    try {
      return use(outputs, rows.touched);
    } finally {
      tf.dispose(outputs);
      tf.dispose(inputs);
    }
  }
}
