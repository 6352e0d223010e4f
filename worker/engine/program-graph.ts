/**
 * Assembles ONE graph from all recorded programs, over shared variables, with the programs that every model needs:
 * norm, update, read and assign. Names of what is fed and fetched are functions here, so that runner and writer agree.
 */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import { dataTypes, GraphScope, typeOf, type GraphNode } from "./graph-node.ts";
import type { InputSpec } from "../model/model.ts";
import type { EngineOptimizer } from "./engine.ts";
import type { Recording } from "./recorder.ts";
import { inputReference, variableReference } from "./record-phase.ts";
import { layOutReduction, type ReductionLayout } from "./reduction-layout.ts";

/** Elements whose squares are summed on one thread, in one order. */
const normRow = 1024;

/** A recorded program with what it is fed. */
export interface RecordedProgram {
  /** Unique among the programs; part of node names. */
  readonly key: string;
  readonly inputs: readonly InputSpec[];
  readonly recording: Recording;
}

/** Names of the nodes that are fed and fetched. */
export const graphNames = {
  input: (program: string, input: string): string => `${program}/in/${input}`,
  flat: (program: string): string => `${program}/flat`,
  output: (program: string, output: string): string => `${program}/out/${output}`,
  normInput: "norm/reduced",
  normSquares: "norm/squares",
  updateScalars: ["learningRate", "epsilon", "scale", "decay", "bufferScale"] as const,
  updateScalar: (name: string): string => `update/${name}`,
  updated: "update/done",
  read: (section: string): string => `read/${section}/values`,
  assignInput: (section: string): string => `assign/${section}/values`,
  assigned: (section: string): string => `assign/${section}/done`,
};

/** Sections of a state: variables of the model, and the two moments. */
export type Section = "parameters" | "firstMoment" | "secondMoment";

function safe(text: string): string {
  return text.replace(/[^A-Za-z0-9_./-]/g, "_");
}

class GraphAssembler {
  readonly nodes: GraphNode[] = [];
  readonly #table: ParameterTable;
  readonly #layout: ReductionLayout;

  constructor(table: ParameterTable) {
    this.#table = table;
    this.#layout = layOutReduction(table);
    table.entries.forEach((entry, index) => {
      this.#handle("parameters", index, entry.shape);
      if (entry.trainableOffset === null) return;
      this.#handle("firstMoment", index, entry.shape);
      this.#handle("secondMoment", index, entry.shape);
    });
  }

  #handle(section: Section, index: number, shape: readonly number[]): void {
    const name = this.#variable(section, index);
    new GraphScope(this.nodes, "").add(
      "VarHandleOp",
      [],
      {
        dtype: typeOf(dataTypes.float32),
        shape: { kind: "shape", shape },
        shared_name: { kind: "string", string: name },
        container: { kind: "string", string: "" },
      },
      name,
    );
  }

  #variable(section: Section, index: number): string {
    return `variables/${section}/${index}`;
  }

  #readVariable(scope: GraphScope, section: Section, index: number): string {
    const attributes = { dtype: typeOf(dataTypes.float32) };
    return scope.add("ReadVariableOp", [this.#variable(section, index)], attributes);
  }

  /** Copies a recording in: references become node names, unused nodes stay out. */
  program({ key, inputs, recording }: RecordedProgram): void {
    const scope = new GraphScope(this.nodes, `${key}/`);
    const names = new Map<string, string>();
    for (const input of inputs) {
      const dtype = input.dtype === "int32" ? dataTypes.int32 : dataTypes.float32;
      names.set(
        inputReference(input.name),
        scope.placeholder(`in/${input.name}`, dtype, input.shape),
      );
    }
    this.#table.entries.forEach((_, index) => {
      names.set(variableReference(index), "");
    });
    const resolve = (reference: string): string => {
      const [node = reference, output] = reference.split(":");
      let name = names.get(node);
      if (name === "") {
        name = this.#readVariable(scope, "parameters", Number(node.split("/")[1]));
        names.set(node, name);
      }
      if (name === undefined) throw new Error(`Cannot resolve ${reference} in program ${key}`);
      return output === undefined ? name : `${name}:${output}`;
    };
    const wanted = neededNodes(recording);
    for (const node of recording.nodes) {
      if (!wanted.has(node.name)) continue;
      const sources = node.inputs.map(resolve);
      names.set(node.name, scope.add(node.op, sources, node.attributes, node.name));
    }
    this.#outputs(scope, recording, resolve);
  }

  #outputs(scope: GraphScope, recording: Recording, resolve: (reference: string) => string): void {
    const { outputs } = recording;
    const flat = (name: string): string => {
      const reference = outputs[name];
      if (reference === undefined) throw new Error(`Cannot find output ${name} of ${scope.prefix}`);
      return scope.reshape(resolve(reference), [-1]);
    };
    const hasGradients = outputs["loss"] !== undefined && outputs["logits"] === undefined;
    if (hasGradients) {
      const { trainable, buffers } = this.#layout;
      scope.concat(
        [
          ...trainable.map((entry) => flat(`gradient/${entry.name}`)),
          ...buffers.map((entry) => flat(`buffer/${entry.name}`)),
          flat("loss"),
          flat("weight"),
        ],
        "flat",
      );
      return;
    }
    for (const [name, reference] of Object.entries(outputs)) {
      const attributes = { T: typeOf(dataTypes.float32) };
      scope.add(
        "Identity",
        [resolve(reference)],
        attributes,
        `out/${safe(name.replace("gathered/", ""))}`,
      );
    }
  }

  /** Squares of the gradient part summed by rows: each row's sum has one order, the host adds the rows. */
  norm(): void {
    const scope = new GraphScope(this.nodes, "norm/");
    const reduced = scope.placeholder("reduced", dataTypes.float32, [this.#layout.size]);
    const length = this.#table.trainableSize;
    const rows = Math.ceil(length / normRow);
    const gradient = scope.add("Slice", [reduced, scope.ints([0]), scope.ints([length])], {
      T: typeOf(dataTypes.float32),
      Index: typeOf(dataTypes.int32),
    });
    const padding = scope.ints([0, rows * normRow - length], [1, 2]);
    const padded = scope.add("Pad", [gradient, padding], {
      T: typeOf(dataTypes.float32),
      Tpaddings: typeOf(dataTypes.int32),
    });
    const squares = scope.float("Square", scope.reshape(padded, [rows, normRow]));
    scope.add(
      "Sum",
      [squares, scope.ints([1])],
      {
        T: typeOf(dataTypes.float32),
        Tidx: typeOf(dataTypes.int32),
        keep_dims: { kind: "bool", bool: false },
      },
      "squares",
    );
  }

  /** AdamW as PyTorch's, over the vector that `norm` is fed. */
  update(optimizer: EngineOptimizer): void {
    const scope = new GraphScope(this.nodes, "update/");
    const { trainable, buffers, parts } = this.#layout;
    const [learningRate = "", epsilon = "", scale = "", decay = "", bufferScale = ""] =
      graphNames.updateScalars.map((name) => scope.placeholder(name, dataTypes.float32, []));
    const pieces = scope.split(graphNames.normInput, parts);
    const zero = scope.floats([0], []);
    const beta1 = scope.floats([optimizer.beta1], []);
    const beta2 = scope.floats([optimizer.beta2], []);
    const done: string[] = [];
    const indexOf = new Map(this.#table.entries.map((entry, index) => [entry.name, index]));
    const shaped = (position: number, shape: readonly number[]): string =>
      scope.reshape(pieces[position] ?? "", shape);
    trainable.forEach((entry, position) => {
      const index = indexOf.get(entry.name) ?? 0;
      const variable = this.#variable("parameters", index);
      const controls: string[] = [];
      if (entry.decay && optimizer.weightDecay !== 0) {
        const shrink = scope.float("Mul", this.#readVariable(scope, "parameters", index), decay);
        const attributes = { dtype: typeOf(dataTypes.float32) };
        controls.push(`^${scope.add("AssignSubVariableOp", [variable, shrink], attributes)}`);
      }
      const gradient = scope.float("Mul", shaped(position, entry.shape), scale);
      const [first, second] = [
        this.#variable("firstMoment", index),
        this.#variable("secondMoment", index),
      ];
      const fed = [
        variable,
        first,
        second,
        zero,
        zero,
        learningRate,
        beta1,
        beta2,
        epsilon,
        gradient,
      ];
      const attributes = {
        T: typeOf(dataTypes.float32),
        use_locking: { kind: "bool", bool: false },
        use_nesterov: { kind: "bool", bool: false },
      } as const;
      done.push(scope.add("ResourceApplyAdam", [...fed, ...controls], attributes));
    });
    buffers.forEach((entry, position) => {
      const value = scope.float(
        "Mul",
        shaped(trainable.length + position, entry.shape),
        bufferScale,
      );
      const variable = this.#variable("parameters", indexOf.get(entry.name) ?? 0);
      const attributes = { dtype: typeOf(dataTypes.float32) };
      done.push(scope.add("AssignVariableOp", [variable, value], attributes));
    });
    scope.after(done, "done");
  }

  /** Reads and writes a section as one flat vector. */
  section(section: Section): void {
    const chosen = this.#table.entries
      .map((entry, index) => ({ entry, index }))
      .filter(({ entry }) => section === "parameters" || entry.trainableOffset !== null);
    if (chosen.length === 0) return;
    const reading = new GraphScope(this.nodes, `read/${section}/`);
    const values = chosen.map(({ index }) =>
      reading.reshape(
        reading.add(
          "ReadVariableOp",
          [this.#variable(section, index)],
          { dtype: typeOf(dataTypes.float32) },
          `value_${index}`,
        ),
        [-1],
      ),
    );
    reading.concat(values, "values");
    const assigning = new GraphScope(this.nodes, `assign/${section}/`);
    const sizes = chosen.map(({ entry }) => entry.size);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    const whole = assigning.placeholder("values", dataTypes.float32, [total]);
    const pieces = assigning.split(whole, sizes);
    const done = chosen.map(({ entry, index }, position) =>
      assigning.add(
        "AssignVariableOp",
        [this.#variable(section, index), assigning.reshape(pieces[position] ?? "", entry.shape)],
        { dtype: typeOf(dataTypes.float32) },
      ),
    );
    assigning.after(done, "done");
  }
}

function neededNodes(recording: Recording): ReadonlySet<string> {
  const byName = new Map(recording.nodes.map((node) => [node.name, node]));
  const needed = new Set<string>();
  const open = Object.values(recording.outputs);
  for (let reference = open.pop(); reference !== undefined; reference = open.pop()) {
    const name = reference.split(":")[0] ?? reference;
    const node = byName.get(name);
    if (node === undefined || needed.has(name)) continue;
    needed.add(name);
    open.push(...node.inputs);
  }
  return needed;
}

/** The whole graph of a job. */
export function assembleGraph(
  table: ParameterTable,
  programs: readonly RecordedProgram[],
  optimizer: EngineOptimizer | null,
): readonly GraphNode[] {
  const assembler = new GraphAssembler(table);
  for (const program of programs) assembler.program(program);
  assembler.section("parameters");
  if (optimizer !== null) {
    assembler.section("firstMoment");
    assembler.section("secondMoment");
    if (table.trainableSize > 0) {
      assembler.norm();
      assembler.update(optimizer);
    }
  }
  return assembler.nodes;
}
