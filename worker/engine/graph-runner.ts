/** Runs recorded programs: each a single call of the binding over variables that live in the loaded graph. */
import { allocateShared } from "./shared-vector.ts";
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { Batch, InputSpec } from "../model/model.ts";
import type { TensorFlowBinding, TensorMetadata, TensorValues } from "./binding.ts";
import type { EngineState } from "./engine.ts";
import { dataTypes } from "./graph-node.ts";
import { graphNames, type Section } from "./program-graph.ts";
import type { Feeds, ProgramRunner, UpdateScalars } from "./program-runner.ts";
import { evaluationKey, phaseKey, type ProgramIndex } from "./program-set.ts";
import { seedInput } from "./record-phase.ts";

type Fed = readonly [name: string, tensorId: number];

/** Programs of one loaded SavedModel. */
export class GraphRunner implements ProgramRunner {
  readonly #binding: TensorFlowBinding;
  readonly #table: ParameterTable;
  readonly #index: ProgramIndex;
  readonly #training: boolean;
  readonly #model: number;
  /** The reduced vector between `takeReduced` and `update`: copied into TensorFlow only once. */
  #reduced: number | null = null;

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
    this.#binding = binding;
    this.#index = programs.index;
    this.#table = programs.table;
    this.#training = programs.training;
    this.#model = binding.loadSavedModel(folder, "serve");
  }

  loadState(state: EngineState): void {
    this.#assign("parameters", state.parameters);
    if (!this.#training || this.#table.trainableSize === 0) return;
    const zeros = (): Float32Array => new Float32Array(this.#table.trainableSize);
    this.#assign("firstMoment", state.firstMoment ?? zeros());
    this.#assign("secondMoment", state.secondMoment ?? zeros());
  }

  readState(withOptimizer: boolean, step: number): EngineState {
    const parameters = this.#read("parameters", this.#table.stateSize);
    if (!withOptimizer || this.#table.trainableSize === 0) return { parameters, step };
    const size = this.#table.trainableSize;
    const firstMoment = this.#read("firstMoment", size);
    return { parameters, firstMoment, secondMoment: this.#read("secondMoment", size), step };
  }

  runGather(phase: number, batch: Batch, feeds: Feeds): Record<string, Float32Array> {
    const key = phaseKey(phase, batch.shapeKey);
    const later = this.#index.phases.slice(phase + 1).flatMap((info) => info.gathered);
    const names = [...new Set(later.map((spec) => spec.name))];
    const outputs = this.#run(
      this.#feed(key, batch, feeds),
      names.map((name) => graphNames.output(key, name)),
    );
    return Object.fromEntries(
      names.map((name, index) => [name, this.#take(outputs[index]).slice()]),
    );
  }

  runSum(phase: number, batch: Batch, feeds: Feeds, into: Float32Array): void {
    const key = phaseKey(phase, batch.shapeKey);
    const [flat] = this.#run(this.#feed(key, batch, feeds), [graphNames.flat(key)]);
    into.set(this.#take(flat));
  }

  takeReduced(reduced: Float32Array): Float32Array {
    this.#dropReduced();
    this.#reduced = this.#binding.createTensor([reduced.length], dataTypes.float32, reduced);
    if (this.#table.trainableSize === 0) return new Float32Array(0);
    const fed: Fed[] = [[graphNames.normInput, this.#reduced]];
    const [squares] = this.#run(fed, [graphNames.normSquares], new Set([this.#reduced]));
    return this.#take(squares);
  }

  update(scalars: UpdateScalars): void {
    if (this.#reduced === null)
      throw new Error("Cannot update before a reduced vector was looked at");
    const fed: Fed[] = [[graphNames.normInput, this.#reduced]];
    for (const name of graphNames.updateScalars) {
      const value = Float32Array.of(scalars[name]);
      fed.push([
        graphNames.updateScalar(name),
        this.#binding.createTensor([], dataTypes.float32, value),
      ]);
    }
    const [done] = this.#run(fed, [graphNames.updated], new Set([this.#reduced]));
    this.#take(done);
    this.#dropReduced();
  }

  evaluate(batch: Batch): { logits: Float32Array; columns: number; loss: number; weight: number } {
    const key = evaluationKey(batch.shapeKey);
    const names = ["logits", "loss", "weight"].map((name) => graphNames.output(key, name));
    const [logits, loss, weight] = this.#run(this.#feed(key, batch, null), names);
    const columns = logits?.shape[1] ?? 1;
    const values = this.#take(logits);
    const scalar = (output: TensorMetadata | undefined): number =>
      this.#take(output)[0] ?? Number.NaN;
    return { logits: values, columns, loss: scalar(loss), weight: scalar(weight) };
  }

  close(): void {
    this.#dropReduced();
    this.#binding.deleteSavedModel(this.#model);
  }

  #dropReduced(): void {
    if (this.#reduced !== null) this.#binding.deleteTensor(this.#reduced);
    this.#reduced = null;
  }

  #feed(key: string, batch: Batch, feeds: Feeds | null): Fed[] {
    const specs = this.#index.inputs[key];
    if (specs === undefined)
      throw new Error(`Cannot run program ${key}: it is not among the recorded ones`);
    return specs.map((spec): Fed => {
      const values = this.#valuesOf(spec, batch, feeds);
      const dtype = spec.dtype === "int32" ? dataTypes.int32 : dataTypes.float32;
      return [
        graphNames.input(key, spec.name),
        this.#binding.createTensor([...spec.shape], dtype, values),
      ];
    });
  }

  #valuesOf(spec: InputSpec, batch: Batch, feeds: Feeds | null): TensorValues {
    const values =
      spec.name === seedInput.name
        ? feeds?.seed
        : (batch.arrays[spec.name] ?? feeds?.gathered[spec.name]);
    const size = spec.shape.reduce((product, dimension) => product * dimension, 1);
    if (values?.length !== size) {
      throw new Error(
        `Cannot feed ${spec.name}: expected ${size} values, found ${values?.length ?? "none"}`,
      );
    }
    return values;
  }

  /** Runs the graph and deletes what was fed, but for `kept`. */
  #run(
    fed: readonly Fed[],
    fetched: readonly string[],
    kept: ReadonlySet<number> = new Set(),
  ): TensorMetadata[] {
    try {
      return this.#binding.runSavedModel(
        this.#model,
        fed.map(([, id]) => id),
        fed.map(([name]) => `${name}:0`).join(","),
        fetched.map((name) => `${name}:0`).join(","),
      );
    } finally {
      for (const [, id] of fed) {
        if (!kept.has(id)) this.#binding.deleteTensor(id);
      }
    }
  }

  /** Values of an output, which is deleted. */
  #take(output: TensorMetadata | undefined): Float32Array {
    if (output === undefined) throw new Error("Cannot take an output that the graph did not give");
    const values = this.#binding.tensorDataSync(output.id);
    this.#binding.deleteTensor(output.id);
    if (!(values instanceof Float32Array))
      throw new Error("Cannot take an output that is not float32");
    return values;
  }

  #assign(section: Section, values: Float32Array): void {
    const id = this.#binding.createTensor([values.length], dataTypes.float32, values);
    const [done] = this.#run(
      [[graphNames.assignInput(section), id]],
      [graphNames.assigned(section)],
    );
    this.#take(done);
  }

  #read(section: Section, size: number): Float32Array {
    const vector = allocateShared(size);
    vector.set(this.#take(this.#run([], [graphNames.read(section)])[0]));
    return vector;
  }
}
