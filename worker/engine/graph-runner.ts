/** Runs recorded programs: each a single call of the binding over variables that live in the loaded graph. */
import type { PlacedRange } from "../../foundation/parameters/shares.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { MemoryFiles } from "../exact/memory-files.ts";
import type { TouchedRows } from "../exact/slots.ts";
import type { Batch } from "../model/model.ts";
import type { TensorFlowBinding } from "./binding.ts";
import type { EngineState } from "./engine.ts";
import { graphNames, updateScalarNames, type Section } from "./graph-names.ts";
import { GraphSession, type Fed, type RunTracer } from "./graph-session.ts";
import type { Feeds, ProgramRunner, SumTarget, UpdateScalars } from "./program-runner.ts";
import { evaluationKey, phaseKey, type ProgramIndex } from "./program-index.ts";
import { valuesOf } from "./fed-values.ts";
import { layOutReduction, type ReductionLayout } from "./reduction-layout.ts";
import { givenSize, rowsOfBatch } from "./row-tensors.ts";
import { takeMoments, type ShareMoments } from "./share-moments.ts";
import { alignedLength, alignedView, allocateShared } from "./shared-vector.ts";
import { ReadOut } from "./read-out.ts";
import { WriteMarks, type RunMarks } from "./write-marks.ts";

/** Programs of one loaded SavedModel. */
export class GraphRunner implements ProgramRunner {
  readonly #session: GraphSession;
  readonly #table: ParameterTable;
  readonly #layout: ReductionLayout;
  readonly #index: ProgramIndex;
  readonly #training: boolean;
  /** For what nobody else watches. */
  readonly #marks: WriteMarks;
  readonly #sharesOut: boolean;
  readonly #readOut: ReadOut;
  /** The reduced vector between `takeReduced` and `update`, as a tensor. */
  #reduced: Fed | null = null;
  /** The same vector where its memory is shared with TensorFlow, else null. */
  #reducedView: Float32Array | null = null;
  /** Where moments are shared out, and a state is loaded. */
  #moments: ShareMoments | null = null;
  /** Whether the weights come from an update. */
  #settled = false;
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
      readonly zeroStage: 0 | 1;
      /** Lets other processes of the host read what is read out; null where they cannot. */
      readonly files: MemoryFiles | null;
    },
  ) {
    this.#sharesOut = programs.training && programs.zeroStage === 1;
    this.#index = programs.index;
    this.#table = programs.table;
    this.#training = programs.training;
    this.#layout = layOutReduction(programs.table);
    this.#marks = new WriteMarks(programs.table.entries.length + this.#layout.parts.length);
    this.#session = new GraphSession(binding, folder);
    this.#readOut = new ReadOut(this.#session, this.#marks, programs.files);
  }

  loadState(state: EngineState): void {
    const values = new Map<Section, Float32Array>([["parameters", state.parameters]]);
    const { trainableSize } = this.#table;
    if (this.#sharesOut) {
      this.#moments = takeMoments(state, this.#table);
    } else if (this.#training && trainableSize > 0) {
      const zeros = allocateShared(
        state.firstMoment === undefined || state.secondMoment === undefined ? trainableSize : 0,
      );
      values.set("firstMoment", state.firstMoment ?? zeros);
      values.set("secondMoment", state.secondMoment ?? zeros);
    }
    this.#settled = false;
    this.#assign(values);
    if (this.#training) this.#readOut.prepare(this.#wanted(true));
  }

  readState(withOptimizer: boolean, step: number, run?: RunMarks): EngineState {
    return { ...this.#readOut.read(this.#wanted(withOptimizer), run), step };
  }

  #wanted(withOptimizer: boolean) {
    const { stateSize, trainableSize } = this.#table;
    return {
      stateSize,
      momentsSize: withOptimizer && this.#training ? trainableSize : 0,
      moments: withOptimizer ? this.#moments : null,
    };
  }

  takeBack(state: EngineState): void {
    this.#readOut.takeBack(state);
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

  runSum(
    phase: number,
    given: Batch,
    feeds: Feeds,
    { into, marks = this.#marks.begin() }: SumTarget,
  ): readonly TouchedRows[] {
    const { batch, touched } = this.#withRows(given);
    const key = phaseKey(phase, batch.shapeKey);
    const inputs = this.#index.inputs[key] ?? [];
    const size = givenSize(this.#layout, inputs, batch.arrays);
    this.#session.write(key, () => this.#feed(key, batch, feeds), into.subarray(0, size), marks);
    return touched;
  }

  takeReduced(reduced: Float32Array): void {
    this.#dropReduced();
    this.#reducedView = alignedView(reduced);
    const tensor = this.#session.tensor(this.#usable(reduced), "float32");
    this.#reduced = { name: graphNames.reduced, tensor };
  }

  update(scalars: UpdateScalars): void {
    const reduced = this.#reduced;
    if (reduced === null) throw new Error("Cannot update before a reduced vector was looked at");
    this.#reduced = null;
    const fed = updateScalarNames.map((name) => this.#scalar(name, scalars[name]));
    const settled = this.#session.tensor(Float32Array.of(this.#settled ? 1 : 0), "float32", []);
    this.#session.fetch(
      [reduced, ...fed, { name: graphNames.settled, tensor: settled }],
      [graphNames.updated],
    );
    this.#settled = true;
  }

  updateShare(scalars: UpdateScalars): void {
    const [reduced, view, moments] = [this.#reduced, this.#reducedView, this.#moments];
    if (reduced === null || view === null || moments === null)
      throw new Error("Cannot update a share without moments and a vector that can be written to");
    const { weightOffset } = this.#layout;
    view[weightOffset] = Number.NaN;
    for (const range of moments.ranges) this.#updateRange(range, { reduced, moments, scalars });
    if (moments.ranges.length > 0 && Number.isNaN(view[weightOffset]))
      throw new Error("Cannot update a share as TensorFlow has copied the vector");
  }

  #updateRange(
    { start, end, at }: PlacedRange,
    means: {
      readonly reduced: Fed;
      readonly moments: ShareMoments;
      readonly scalars: UpdateScalars;
    },
  ): void {
    const { reduced, moments, scalars } = means;
    const fed = [
      ...(["learningRate", "epsilon", "scale", "decay"] as const).map((name) =>
        this.#scalar(name, scalars[name]),
      ),
      ...(["firstMoment", "secondMoment"] as const).map((section): Fed => {
        const values = moments[section].subarray(at, at + end - start);
        return {
          name: graphNames.shareMoments(section),
          tensor: this.#session.tensor(inPlace(values), "float32"),
        };
      }),
      { name: graphNames.share, tensor: this.#session.tensor(Int32Array.of(start, end), "int32") },
    ];
    try {
      this.#session.fetch([reduced, ...fed], [graphNames.shareUpdated], { keep: true });
    } finally {
      this.#session.drop(fed);
    }
  }

  takeWeights(bufferScale: number): void {
    const reduced = this.#reduced;
    if (reduced === null) throw new Error("Cannot take weights before a share was updated");
    this.#reduced = null;
    this.#session.fetch([reduced, this.#scalar("bufferScale", bufferScale)], [graphNames.updated]);
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

  #scalar(name: keyof UpdateScalars, value: number): Fed {
    const tensor = this.#session.tensor(Float32Array.of(value), "float32", []);
    return { name: graphNames.updateScalar(name), tensor };
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
    const chosen = specs.map((spec) => ({ spec, ...valuesOf(spec, batch, feeds) }));
    return chosen.map(({ spec, values, shape }): Fed => ({
      name: graphNames.input(key, spec.name),
      tensor: this.#session.tensor(values, spec.dtype, shape),
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
}

/** A vector of which TensorFlow changes the memory. Throws where it would make a copy. */
function inPlace(vector: Float32Array): Float32Array {
  const view = alignedView(vector);
  if (view === null) throw new Error("Cannot update moments that TensorFlow would copy");
  return view;
}

/** The vector itself where TensorFlow can use its memory, else a copy that it can use. */
function aligned(vector: Float32Array): Float32Array {
  const view = alignedView(vector);
  if (view !== null) return view;
  const copy = allocateShared(alignedLength(vector.length));
  copy.set(vector);
  return copy;
}
