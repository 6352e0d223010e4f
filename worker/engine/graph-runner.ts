/** Runs recorded programs: each a single call of the binding over variables that live in the loaded graph. */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { Batch, InputSpec } from "../model/model.ts";
import type { TensorFlowBinding, TensorValues } from "./binding.ts";
import type { EngineState } from "./engine.ts";
import { graphNames, updateScalarNames, type Section } from "./graph-names.ts";
import { GraphSession, type Fed, type RunTracer } from "./graph-session.ts";
import type { Feeds, ProgramRunner, UpdateScalars } from "./program-runner.ts";
import { evaluationKey, phaseKey, type ProgramIndex } from "./program-index.ts";
import { seedInput } from "./dropout-seed.ts";
import { layOutReduction, type ReductionLayout } from "./reduction-layout.ts";
import { givenParts, rowsOfBatch } from "./row-tensors.ts";
import { alignedLength, alignedView, allocateShared } from "./shared-vector.ts";
import { normRow } from "./update-graph.ts";

/** Programs of one loaded SavedModel. */
export class GraphRunner implements ProgramRunner {
  readonly #session: GraphSession;
  readonly #table: ParameterTable;
  readonly #layout: ReductionLayout;
  readonly #index: ProgramIndex;
  readonly #training: boolean;
  /** Where each section is read out into. */
  readonly #readOut = new Map<Section, Float32Array>();
  /** The reduced vector between `takeReduced` and `update`, as a tensor. */
  #reduced: Fed | null = null;
  /** Takes reduced vectors that TensorFlow cannot use where they are. */
  #scratch: Float32Array | null = null;

  /** @param folder holds `saved_model.pb` */
  constructor(
    binding: TensorFlowBinding,
    folder: string,
    programs: {
      readonly index: ProgramIndex;
      readonly table: ParameterTable;
      readonly training: boolean;
    },
  ) {
    this.#index = programs.index;
    this.#table = programs.table;
    this.#training = programs.training;
    this.#layout = layOutReduction(programs.table);
    this.#session = new GraphSession(binding, folder);
  }

  loadState(state: EngineState): void {
    const values = new Map<Section, Float32Array>([["parameters", state.parameters]]);
    const { trainableSize } = this.#table;
    if (this.#training && trainableSize > 0) {
      const zeros = allocateShared(
        state.firstMoment === undefined || state.secondMoment === undefined ? trainableSize : 0,
      );
      values.set("firstMoment", state.firstMoment ?? zeros);
      values.set("secondMoment", state.secondMoment ?? zeros);
    }
    this.#assign(values);
  }

  readState(withOptimizer: boolean, step: number): EngineState {
    const { stateSize, trainableSize } = this.#table;
    const parameters = this.#read("parameters", stateSize);
    if (!withOptimizer || !this.#training || trainableSize === 0) return { parameters, step };
    const firstMoment = this.#read("firstMoment", trainableSize);
    return {
      parameters,
      firstMoment,
      secondMoment: this.#read("secondMoment", trainableSize),
      step,
    };
  }

  runGather(phase: number, batch: Batch, feeds: Feeds): Record<string, Float32Array> {
    const key = phaseKey(phase, batch.shapeKey);
    const later = this.#index.phases.slice(phase + 1).flatMap((info) => info.gathered);
    const names = [...new Set(later.map((spec) => spec.name))];
    const outputs = this.#session.fetch(
      this.#feed(key, this.#withRows(batch).batch, feeds),
      names.map((name) => graphNames.output(key, name)),
    );
    return Object.fromEntries(
      names.map((name, index) => [name, outputs[index]?.values ?? new Float32Array(0)]),
    );
  }

  runSum(phase: number, given: Batch, feeds: Feeds, into: Float32Array): readonly TouchedRows[] {
    const { batch, touched } = this.#withRows(given);
    const key = phaseKey(phase, batch.shapeKey);
    const parts = givenParts(this.#layout, this.#index.inputs[key] ?? []);
    const size = parts.reduce((sum, part) => sum + part, 0);
    this.#session.write(key, () => this.#feed(key, batch, feeds), into.subarray(0, size));
    return touched;
  }

  takeReduced(reduced: Float32Array): number {
    this.#dropReduced();
    const { trainableSize } = this.#table;
    const tensor = this.#session.tensor(this.#usable(reduced), "float32");
    this.#reduced = { name: graphNames.reduced, tensor };
    const rows = Math.floor(trainableSize / normRow);
    let sum = 0;
    if (rows > 0) {
      const [norms] = this.#session.fetch([this.#reduced], [graphNames.rowNorms], { keep: true });
      for (const norm of norms?.values ?? []) sum += norm * norm;
    }
    for (const value of reduced.subarray(rows * normRow, trainableSize)) sum += value * value;
    return sum;
  }

  update(scalars: UpdateScalars): void {
    const reduced = this.#reduced;
    if (reduced === null) throw new Error("Cannot update before a reduced vector was looked at");
    this.#reduced = null;
    const fed = updateScalarNames.map((name): Fed => ({
      name: graphNames.updateScalar(name),
      tensor: this.#session.tensor(Float32Array.of(scalars[name]), "float32", []),
    }));
    this.#session.fetch([reduced, ...fed], [graphNames.updated]);
  }

  evaluate(batch: Batch): { logits: Float32Array; columns: number; loss: number; weight: number } {
    const key = evaluationKey(batch.shapeKey);
    const names = ["logits", "loss", "weight"].map((name) => graphNames.output(key, name));
    const fed = this.#feed(key, batch, null);
    const [logits, loss, weight] = this.#session.fetch(fed, names);
    if (logits === undefined) throw new Error(`Cannot evaluate at ${batch.shapeKey}: no logits`);
    return {
      logits: logits.values,
      columns: logits.shape[1] ?? 1,
      loss: loss?.values[0] ?? Number.NaN,
      weight: weight?.values[0] ?? Number.NaN,
    };
  }

  trace(tracer: RunTracer | null): void {
    this.#session.tracer = tracer;
  }

  close(): void {
    this.#dropReduced();
    this.#session.close();
  }

  /** The vector itself where TensorFlow can use its memory, else a copy. */
  #usable(reduced: Float32Array): Float32Array {
    const view = alignedView(reduced);
    if (view !== null) return view;
    this.#scratch ??= allocateShared(alignedLength(this.#layout.size));
    this.#scratch.set(reduced);
    return this.#scratch;
  }

  #dropReduced(): void {
    if (this.#reduced !== null) this.#session.drop([this.#reduced]);
    this.#reduced = null;
  }

  #withRows(batch: Batch): { readonly batch: Batch; readonly touched: readonly TouchedRows[] } {
    const { arrays, touched } = rowsOfBatch(this.#index.rowTensors, batch.arrays);
    return { batch: { ...batch, arrays: { ...batch.arrays, ...arrays } }, touched };
  }

  #feed(key: string, batch: Batch, feeds: Feeds | null): Fed[] {
    const specs = this.#index.inputs[key];
    if (specs === undefined)
      throw new Error(`Cannot run program ${key}: it is not among the recorded ones`);
    const chosen = specs.map((spec) => ({ spec, values: valuesOf(spec, batch, feeds) }));
    return chosen.map(({ spec, values }): Fed => ({
      name: graphNames.input(key, spec.name),
      tensor: this.#session.tensor(values, spec.dtype, spec.shape),
    }));
  }

  /** Sets sections in one run: TensorFlow prepares every set of programs that is run together, which takes it long. */
  #assign(values: ReadonlyMap<Section, Float32Array>): void {
    const fed = [...values].map(([section, vector]): Fed => ({
      name: graphNames.assignValues(section),
      tensor: this.#session.tensor(aligned(vector), "float32"),
    }));
    const done = [...values.keys()].map((section) => graphNames.assigned(section));
    this.#session.fetch(fed, done);
  }

  #read(section: Section, size: number): Float32Array {
    const vector = this.#readOut.get(section) ?? allocateShared(size);
    this.#readOut.set(section, vector);
    this.#session.write(graphNames.read(section), () => [], vector);
    return vector;
  }
}

/** The vector itself where TensorFlow can use its memory, else a copy that it can use. */
function aligned(vector: Float32Array): Float32Array {
  const view = alignedView(vector);
  if (view !== null) return view;
  const copy = allocateShared(alignedLength(vector.length));
  copy.set(vector);
  return copy;
}

function valuesOf(spec: InputSpec, batch: Batch, feeds: Feeds | null): TensorValues {
  const { name, shape } = spec;
  const values =
    name === seedInput.name ? feeds?.seed : (batch.arrays[name] ?? feeds?.gathered[name]);
  const size = shape.reduce((product, dimension) => product * dimension, 1);
  if (values?.length !== size) {
    throw new Error(
      `Cannot feed ${name}: expected ${size} values, found ${values?.length ?? "none"}`,
    );
  }
  return values;
}
