/** Runs a model's programs eagerly, op by op: for debugging, and as the reference of the recorded graphs. */
import * as tf from "@tensorflow/tfjs";
import type { ParameterTable, TableEntry } from "../../foundation/parameters/table.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { Batch, Model } from "../model/model.ts";
import type { EngineOptimizer, EngineState } from "./engine.ts";
import type { Feeds, ProgramRunner, SumTarget, UpdateScalars } from "./program-runner.ts";
import { seedInput } from "./dropout-seed.ts";
import { evaluationKey, phaseKey } from "./program-index.ts";
import { programSources } from "./program-set.ts";
import { inputTensors, makeVariables, runInContext, type ModelVariables } from "./model-context.ts";
import type { ProgramSource } from "./program-source.ts";
import { layOutReduction, vectorOutputs, type ReductionLayout } from "./reduction-layout.ts";
import { givenParts, rowsOfBatch } from "./row-tensors.ts";
import { takeMoments, type ShareMoments } from "./share-moments.ts";
import { allocateShared } from "./shared-vector.ts";
import { markAllWritten, type RunMarks } from "./write-marks.ts";
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
  #moments: ShareMoments;
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
    this.#sources = programSources(model, programs.table, {
      training: programs.training,
      precision: "fp32",
    });
    this.#variables = makeVariables(programs.table, ({ shape }) => tf.zeros([...shape]));
    const nothing = { parameters: new Float32Array(0), step: 0, share: [] };
    this.#moments = takeMoments(nothing, programs.table);
  }

  loadState(state: EngineState): void {
    for (const entry of this.#table.entries) {
      this.#assign(entry, state.parameters.slice(entry.offset, entry.offset + entry.size));
    }
    this.#moments = takeMoments(state, this.#table);
  }

  readState(withOptimizer: boolean, step: number, run?: RunMarks): EngineState {
    const state = this.#readState(withOptimizer, step);
    if (run !== undefined) markAllWritten(run);
    return state;
  }

  takeBack(): void {
    // Another state has other memory.
  }

  #readState(withOptimizer: boolean, step: number): EngineState {
    const parameters = allocateShared(this.#table.stateSize);
    for (const entry of this.#table.entries) {
      parameters.set(floatsOf(this.#variables.byName[entry.name]), entry.offset);
    }
    if (!withOptimizer) return { parameters, step };
    const { share, firstMoment, secondMoment } = this.#moments;
    const shared = (vector: Float32Array): Float32Array => {
      const copy = allocateShared(vector.length);
      copy.set(vector);
      return copy;
    };
    return {
      parameters,
      step,
      share,
      firstMoment: shared(firstMoment),
      secondMoment: shared(secondMoment),
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

  /** Marks nothing: all is there at once. */
  runSum(phase: number, batch: Batch, feeds: Feeds, { into }: SumTarget): readonly TouchedRows[] {
    const key = phaseKey(phase, batch.shapeKey);
    const inputs = this.#sources.get(key)?.inputs ?? [];
    return this.#run(key, batch, feeds, (outputs, touched) => {
      const names = vectorOutputs(this.#layout);
      let offset = 0;
      for (const { part } of givenParts(this.#layout, inputs)) {
        const values = floatsOf(outputs[names[part] ?? ""]);
        into.set(values, offset);
        offset += values.length;
      }
      return touched;
    });
  }

  takeReduced(reduced: Float32Array): void {
    this.#reduced = reduced;
  }

  update(scalars: UpdateScalars): void {
    // What is not shared out stays as it is: the vector is the caller's.
    this.#reduced = this.#reduced?.slice() ?? null;
    this.updateShare(scalars);
    this.takeWeights(scalars.bufferScale);
  }

  updateShare(scalars: UpdateScalars): void {
    const reduced = this.#reduced;
    if (reduced === null) throw new Error("Cannot update before a reduced vector was looked at");
    const { beta1, beta2 } = this.#optimizer;
    const { ranges, firstMoment, secondMoment } = this.#moments;
    const pairs = this.#layout.trainable.flatMap((entry) =>
      ranges.map((range) => ({ entry, range })),
    );
    for (const { entry, range } of pairs) {
      const offset = entry.trainableOffset ?? 0;
      const values = floatsOf(this.#variables.byName[entry.name]);
      const end = Math.min(range.end, offset + entry.size);
      for (let at = Math.max(range.start, offset); at < end; at++) {
        const own = range.at + at - range.start;
        const gradient = Math.fround((reduced[at] ?? 0) * scalars.scale);
        const first = beta1 * (firstMoment[own] ?? 0) + (1 - beta1) * gradient;
        const second = beta2 * (secondMoment[own] ?? 0) + (1 - beta2) * gradient * gradient;
        firstMoment[own] = first;
        secondMoment[own] = second;
        const kept = (values[at - offset] ?? 0) * (entry.decay ? 1 - scalars.decay : 1);
        reduced[at] = kept - (scalars.learningRate * first) / (Math.sqrt(second) + scalars.epsilon);
      }
    }
  }

  takeWeights(bufferScale: number): void {
    const reduced = this.#reduced;
    if (reduced === null) throw new Error("Cannot take weights before a share was updated");
    let offset = 0;
    for (const entry of this.#layout.trainable) {
      this.#assign(entry, reduced.slice(offset, offset + entry.size));
      offset += entry.size;
    }
    for (const entry of this.#layout.buffers) {
      const values = reduced.slice(offset, offset + entry.size);
      this.#assign(
        entry,
        values.map((value) => value * bufferScale),
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
