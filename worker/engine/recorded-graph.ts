/** Puts a recorded program into the graph: its inputs as places to feed, its variables as reads, its outputs by name. */
import type { ParameterTable } from "../../foundation/parameters/table.ts";
import type { InputSpec } from "../model/model.ts";
import { dataTypes, GraphScope, typeOf, type GraphNode } from "./graph-node.ts";
import { graphNames, safeName } from "./graph-names.ts";
import type { GraphVariables } from "./graph-variables.ts";
import { passesFor, type PassGround, type ProgramGives } from "./graph-passes.ts";
import { placeProducts, vectorReference } from "./passes/place-products.ts";
import type { Recording } from "./recorder.ts";
import { inputReference, variableReference } from "./references.ts";
import { vectorOutputs, type ReductionLayout } from "./reduction-layout.ts";
import { givenParts } from "./row-tensors.ts";
import { placeFlat, writeFlat } from "./write-flat.ts";

/** A recorded program with what it is fed. */
export interface RecordedProgram {
  /** Unique among the programs; part of node names. */
  readonly key: string;
  readonly inputs: readonly InputSpec[];
  readonly recording: Recording;
  /** `vector`: the outputs are gradients, buffers, loss and weight, given as `givenParts` says. `named`: each is fetched by itself. */
  readonly gives: ProgramGives;
}

/** What all programs of a graph stand on. */
export interface GraphGround extends PassGround {
  readonly nodes: GraphNode[];
  readonly table: ParameterTable;
  readonly variables: GraphVariables;
  readonly layout: ReductionLayout;
}

/** Adds a program to the graph. Throws where a gradient or buffer is missing. */
export function addRecordedProgram(ground: GraphGround, program: RecordedProgram): void {
  const { key, inputs, gives } = program;
  const recording = passesFor(ground, gives).reduce(
    (rewritten, pass) => pass.rewrite(rewritten),
    program.recording,
  );
  const scope = new GraphScope(ground.nodes, graphNames.scope(key));
  const names = new Map<string, string>();
  for (const { name, dtype, shape } of inputs) {
    const type = dtype === "int32" ? dataTypes.int32 : dataTypes.float32;
    names.set(inputReference(name), scope.placeholder(`in/${safeName(name)}`, type, shape));
  }
  const used = new Set(recording.nodes.flatMap((node) => node.inputs));
  for (const reference of Object.values(recording.outputs)) used.add(reference);
  ground.table.entries.forEach((entry, index) => {
    const reference = variableReference(index);
    if (!used.has(reference)) return;
    const handle = ground.variables.handle("parameters", entry);
    names.set(reference, ground.variables.read(scope, handle));
  });
  const resolve = (reference: string): string => {
    if (reference.startsWith("^")) return `^${resolve(reference.slice(1))}`;
    const [node = reference, output] = reference.split(":");
    const name = names.get(node);
    if (name === undefined) throw new Error(`Cannot resolve ${reference} in program ${key}`);
    return output === undefined ? name : `${name}:${output}`;
  };
  const add = ({ name, op, inputs: sources, attributes }: GraphNode): void =>
    void names.set(name, scope.add(op, sources.map(resolve), attributes, name));
  if (gives === "named") {
    for (const node of recording.nodes) add(node);
    addNamed(scope, recording, resolve);
    return;
  }
  const given = givenParts(ground.layout, inputs);
  const memory = placeFlat(
    scope,
    given.map(({ size }) => size),
  );
  names.set(vectorReference, memory.into);
  const values = vectorValues(ground.layout, recording);
  const places = given.map(({ part, size }, index) => ({
    reference: size === null ? "" : (values[part] ?? ""),
    offset: memory.offsets[index] ?? 0,
  }));
  const placed = ground.withoutPasses?.has("placeProducts") === true ? [] : places;
  for (const node of placeProducts(recording.nodes, placed)) add(node);
  writeFlat(
    scope,
    memory,
    given.map(({ part }) => ({ part, value: resolve(values[part] ?? "") })),
  );
}

/** References of the vector's parts, in order. */
function vectorValues(layout: ReductionLayout, { outputs }: Recording): readonly string[] {
  return vectorOutputs(layout).map((name) => {
    const reference = outputs[name];
    if (reference === undefined) throw new Error(`Cannot train a model that gives no ${name}`);
    return reference;
  });
}

function addNamed(
  scope: GraphScope,
  { outputs }: Recording,
  resolve: (reference: string) => string,
): void {
  for (const [name, reference] of Object.entries(outputs)) {
    const attributes = { T: typeOf(dataTypes.float32) };
    const output = safeName(name.replace("gathered/", ""));
    scope.add("Identity", [resolve(reference)], attributes, `out/${output}`);
  }
}
