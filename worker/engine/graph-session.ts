/** One loaded graph: makes tensors, runs programs of it, and deletes every tensor as soon as it has served. */
import { deviceInUse, traitsOf } from "../../foundation/device.ts";
import type { TensorFlowBinding, TensorMetadata, TensorValues } from "./binding.ts";
import { dataTypes } from "./graph-node.ts";
import { graphNames } from "./graph-names.ts";
import { alignedView } from "./shared-vector.ts";
import type { RunMarks } from "./write-marks.ts";

/** A tensor and the node that it is fed to. */
export interface Fed {
  readonly name: string;
  /** The binding's id. */
  readonly tensor: number;
}

/** A program that copies to memory of the caller. */
export interface Copying {
  /** Its name. */
  readonly scope: string;
  /** Makes what is fed beside the memory. */
  readonly feed: () => readonly Fed[];
  readonly into: Float32Array;
}

/** A fetched output, in memory of JavaScript. */
export interface Fetched {
  readonly values: Float32Array;
  readonly shape: readonly number[];
}

/** Has runs of the graph noted while a step is profiled. */
export interface RunTracer {
  /** Makes one run. */
  trace<Value>(run: () => Value): Value;
}

/** Bits of a NaN that no arithmetic gives. */
const unwritten = 0x7fa5_c3e1;

/** A loaded SavedModel. */
export class GraphSession {
  /** Notes the runs from now on; null, as at first, for none. */
  tracer: RunTracer | null = null;
  readonly #binding: TensorFlowBinding;
  readonly #model: number;
  /** Whether TensorFlow computes in the memory of what is fed: on a CPU it does. */
  #sharesMemory: boolean;
  /** Whether it has been seen to. */
  #hasShared = false;

  /** Loads `saved_model.pb` of a folder. */
  constructor(binding: TensorFlowBinding, folder: string) {
    this.#binding = binding;
    this.#model = binding.loadSavedModel(folder, "serve");
    this.#sharesMemory = traitsOf(deviceInUse(binding)).sharesMemory;
  }

  /** Makes a tensor. Values that are aligned are not copied, and must not change while the tensor is used. */
  tensor(
    values: TensorValues,
    dtype: "float32" | "int32",
    shape: readonly number[] = [values.length],
  ): number {
    return this.#binding.createTensor([...shape], dataTypes[dtype], values);
  }

  /** Deletes what was to be fed. */
  drop(fed: readonly Fed[]): void {
    for (const { tensor } of fed) this.#binding.deleteTensor(tensor);
  }

  /** Runs the graph as far as `names` need it. What is fed is deleted unless it is to be kept. */
  fetch(
    fed: readonly Fed[],
    names: readonly string[],
    options: { readonly keep: boolean } = { keep: false },
  ): readonly Fetched[] {
    const run = (): readonly TensorMetadata[] =>
      this.#binding.runSavedModel(
        this.#model,
        fed.map(({ tensor }) => tensor),
        fed.map(({ name }) => `${name}:0`).join(","),
        names.map((name) => `${name}:0`).join(","),
      );
    let outputs: readonly TensorMetadata[];
    try {
      outputs = this.tracer === null ? run() : this.tracer.trace(run);
    } finally {
      if (!options.keep) this.drop(fed);
    }
    return outputs.map((output) => this.#take(output));
  }

  /**
   * Runs a program that gives a vector, and has it written to `into`: by TensorFlow itself where it can, else by a copy.
   * @param scope name of the program
   * @param feed makes what is fed
   * @param run marks what is written; who watches the marks must give memory that TensorFlow shares
   */
  write(scope: string, feed: () => readonly Fed[], into: Float32Array, run: RunMarks): void {
    const view = this.#sharesMemory ? alignedView(into) : null;
    if (view !== null && view.length > 0) {
      const last = new Uint32Array(into.buffer, into.byteOffset + 4 * (into.length - 1), 1);
      last[0] = unwritten;
      this.fetch([...feed(), ...this.#memory(scope, view, run)], [graphNames.written(scope)]);
      this.#hasShared = last[0] !== unwritten;
      if (this.#hasShared) return;
      this.#sharesMemory = false;
    }
    const [flat] = this.fetch(feed(), [graphNames.flat(scope)]);
    if (flat?.values.length !== into.length) {
      throw new RangeError(
        `Cannot write ${flat?.values.length ?? 0} values of ${scope} to ${into.length} places`,
      );
    }
    into.set(flat.values);
  }

  /**
   * Begins to copy while other programs run, in one run of the graph: TensorFlow prepares every set of programs that is run together,
   * which takes it long. Each copy is marked. The caller keeps all memory until then. Gives false, and begins nothing, where TensorFlow is not
   * known to use the caller's memory: before anything was written, and on a GPU.
   */
  copy(copies: readonly Copying[], run: RunMarks): boolean {
    const views = copies.map(({ into }) => (this.#hasShared ? alignedView(into) : null));
    if (views.some((view) => view === null || view.length === 0)) return false;
    this.#copy(copies, views, run);
    return true;
  }

  /** Has TensorFlow prepare what `copy` runs together, with nothing to be copied. */
  prepareCopy(copies: readonly Pick<Copying, "scope" | "feed">[], run: RunMarks): void {
    const nothing = new Float32Array(0);
    if (!this.#sharesMemory) return;
    this.#copy(
      copies,
      copies.map(() => nothing),
      run,
    );
  }

  #copy(
    copies: readonly Pick<Copying, "scope" | "feed">[],
    views: readonly (Float32Array | null)[],
    run: RunMarks,
  ): void {
    const fed = copies.flatMap(({ scope, feed }, index) => {
      const view = views[index] ?? null;
      return view === null ? [] : [...feed(), ...this.#memory(scope, view, run)];
    });
    this.fetch(
      fed,
      copies.map(({ scope }) => graphNames.copying(scope)),
    );
  }

  #memory(scope: string, view: Float32Array, { marks, ticket }: RunMarks): readonly Fed[] {
    return [
      { name: graphNames.into(scope), tensor: this.tensor(view, "float32") },
      { name: graphNames.marks(scope), tensor: this.tensor(marks, "int32") },
      { name: graphNames.ticket(scope), tensor: this.tensor(Int32Array.of(ticket), "int32", []) },
    ];
  }

  /** Unloads the graph with its variables. */
  close(): void {
    this.#binding.deleteSavedModel(this.#model);
  }

  #take({ id, shape }: TensorMetadata): Fetched {
    const values = this.#binding.tensorDataSync(id);
    this.#binding.deleteTensor(id);
    if (!(values instanceof Float32Array)) {
      throw new TypeError("Cannot fetch an output that is not float32");
    }
    return { values, shape };
  }
}
