/**
 * Records what an eager tfjs program asks of the native binding: every op and every constant, as graph nodes. It stands
 * between tfjs's backend and the binding; while nothing is recorded it only passes calls on.
 */
import type { OpAttribute, TensorFlowBinding, TensorMetadata, TensorValues } from "./binding.ts";
import { CallSite } from "./call-site.ts";
import {
  dataTypes,
  typeOf,
  type AttributeValue,
  type GraphNode,
  type NodePart,
} from "./graph-node.ts";
import { attributeOf } from "./op-attribute.ts";

/** A block of recorded ops that a kernel may take the place of. */
export interface RecordedBlock {
  readonly op: string;
  readonly attributes: Readonly<Record<string, AttributeValue>>;
  /** References of what it depends on and of what it gives, in the kernel's order. */
  readonly inputs: readonly string[];
  readonly outputs: readonly string[];
  /** Nodes that were recorded before the block was over. */
  readonly end: number;
  /** Where the model says so. */
  readonly part?: NodePart;
}

/** One recorded run of a program. References are names within the recording. */
export interface Recording {
  readonly nodes: readonly GraphNode[];
  /** Blocks in the order of their ends. */
  readonly blocks: readonly RecordedBlock[];
  /** Where each node was made in the model, by node name. */
  readonly origins: ReadonlyMap<string, CallSite>;
  /** References of the outputs, by output name. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** A tensor that exists before a program runs. */
export interface KnownTensor {
  readonly reference: string;
  /** The parameter's name in the table, or null for an input: places in the model are told by parameters. */
  readonly parameter: string | null;
}

/** A program cannot be recorded; the message names the op and the place. */
export class RecordingError extends Error {
  override readonly name = "RecordingError";
}

/** tfjs leaves the type of these ops to eager TensorFlow, which infers it; a graph has to state it. */
const untypedOps: ReadonlySet<string> = new Set(["ExpandDims"]);

/** Ops that give something else each time they run: a model takes its randomness from the context. */
const statefulOps = /^(Random|Multinomial$|TruncatedNormal$|ParameterizedTruncatedNormal$)/;

/** What tfjs computes with. Narrower types live in graphs only, put there by passes. */
const recordable: ReadonlySet<number> = new Set([
  dataTypes.float32,
  dataTypes.int32,
  dataTypes.bool,
]);

/** What is recorded at present. */
interface Course {
  readonly nodes: GraphNode[];
  readonly blocks: RecordedBlock[];
  readonly byName: Map<string, GraphNode>;
  readonly origins: Map<string, CallSite>;
  /** References by tensor id. */
  readonly references: Map<number, string>;
  /** Parameters by reference. */
  readonly parameters: ReadonlyMap<string, string>;
  /** What is being recorded, and how many segments there were. */
  part: NodePart | null;
  segments: number;
}

/** Stands between tfjs's backend and the binding. */
export class RecordingBinding {
  readonly real: TensorFlowBinding;
  #course: Course | null = null;

  constructor(real: TensorFlowBinding) {
    this.real = real;
  }

  /** What is handed to tfjs's backend: the binding's own properties, with the calls that matter replaced. */
  asBinding(): TensorFlowBinding {
    const own: Partial<Record<keyof TensorFlowBinding, unknown>> = {
      executeOp: this.#executeOp.bind(this),
      createTensor: this.#createTensor.bind(this),
    };
    // The native object's properties cannot be redefined, so the proxy wraps an empty one.
    const target = {} as TensorFlowBinding;
    return new Proxy(target, {
      get: (_target, key): unknown => {
        if (typeof key !== "string") return undefined;
        const name = key as keyof TensorFlowBinding;
        return own[name] ?? this.real[name];
      },
    });
  }

  /**
   * Records what `run` does. Throws RecordingError for what a graph cannot hold.
   * @param known tensors that exist before, inputs and variables, by id
   * @param run the program; returns the ids of its output tensors by name
   */
  record(
    known: ReadonlyMap<number, KnownTensor>,
    run: () => Readonly<Record<string, number>>,
  ): Recording {
    if (this.#course !== null) throw new Error("Cannot record a program within a program");
    const references = new Map<number, string>();
    const parameters = new Map<string, string>();
    for (const [id, { reference, parameter }] of known) {
      references.set(id, reference);
      if (parameter !== null) parameters.set(reference, parameter);
    }
    const course: Course = {
      nodes: [],
      blocks: [],
      byName: new Map(),
      origins: new Map(),
      references,
      parameters,
      part: null,
      segments: 0,
    };
    this.#course = course;
    try {
      const outputs: Record<string, string> = {};
      for (const [name, id] of Object.entries(run())) {
        const reference = references.get(id);
        if (reference === undefined) {
          throw new RecordingError(`Cannot record output ${name}: the program did not compute it`);
        }
        outputs[name] = reference;
      }
      const { nodes, blocks, origins } = course;
      return { nodes, blocks, origins, outputs };
    } finally {
      this.#course = null;
    }
  }

  /** Records a segment of the forward pass; without effect while nothing is recorded. */
  recordSegment<Value>(run: () => Value): Value {
    const course = this.#course;
    if (course === null) return run();
    if (course.part !== null) throw new Error("Cannot record a segment within another part");
    course.part = course.segments++;
    try {
      return run();
    } finally {
      course.part = null;
    }
  }

  /** Says that from here on the backward pass is recorded; without effect while nothing is. */
  beginBackward(): void {
    if (this.#course !== null) this.#course.part = "backward";
  }

  /** Notes that the ops recorded last make up a block; without effect while nothing is recorded. */
  noteBlock(
    kernel: Pick<RecordedBlock, "op" | "attributes">,
    ids: { readonly inputs: readonly number[]; readonly outputs: readonly number[] },
  ): void {
    const course = this.#course;
    if (course === null) return;
    const referencesOf = (tensors: readonly number[]): string[] =>
      tensors.map((id) => {
        const reference = course.references.get(id);
        if (reference === undefined) {
          throw new RecordingError(
            `Cannot record a block of ${kernel.op} as one of its tensors was made outside of the program`,
          );
        }
        return reference;
      });
    course.blocks.push({
      op: kernel.op,
      attributes: kernel.attributes,
      inputs: referencesOf(ids.inputs),
      outputs: referencesOf(ids.outputs),
      end: course.nodes.length,
      ...partOf(course),
    });
  }

  #executeOp(
    op: string,
    attributes: OpAttribute[],
    inputs: number[],
    outputCount: number,
  ): TensorMetadata[] {
    const course = this.#course;
    if (course === null) return this.real.executeOp(op, attributes, inputs, outputCount);
    const sources = inputs.map((id) => course.references.get(id));
    const refuse = (reason: string): RecordingError =>
      new RecordingError(
        `Cannot record ${op}${placeOf(course, sources)}: ${reason}; at ${new CallSite().tell()}`,
      );
    if (statefulOps.test(op)) throw refuse("it draws random numbers of its own");
    const named = sources.map((source) => {
      if (source === undefined) throw refuse("it uses a tensor made outside of the program");
      return source;
    });
    const stated = attributes.map((attribute) => {
      const value = attributeOf(this.real, attribute);
      if (value === null) throw refuse(`attribute ${attribute.name} is of no known type`);
      return [attribute.name, value] as const;
    });
    const outputs = this.#execute(refuse, op, attributes, inputs, outputCount);
    const odd = outputs.find(({ dtype }) => !recordable.has(dtype));
    if (odd !== undefined) throw refuse(`it gives a tensor of TensorFlow's type ${odd.dtype}`);
    const inferred: Readonly<Record<string, AttributeValue>> = untypedOps.has(op)
      ? { T: typeOf(outputs[0]?.dtype ?? dataTypes.float32) }
      : {};
    const all = { ...inferred, ...Object.fromEntries(stated) };
    const name = addNode(course, { op, inputs: named, attributes: all });
    for (const [index, { id }] of outputs.entries()) {
      course.references.set(id, index === 0 ? name : `${name}:${index}`);
    }
    return outputs;
  }

  #execute(
    refuse: (reason: string) => RecordingError,
    ...call: Parameters<TensorFlowBinding["executeOp"]>
  ): TensorMetadata[] {
    try {
      return this.real.executeOp(...call);
    } catch (error) {
      throw refuse(error instanceof Error ? error.message : String(error));
    }
  }

  #createTensor(shape: number[], dtype: number, values: TensorValues): number {
    const id = this.real.createTensor(shape, dtype, values);
    const course = this.#course;
    if (course !== null) {
      if (!recordable.has(dtype)) {
        throw new RecordingError(
          `Cannot record a constant of TensorFlow's type ${dtype}; at ${new CallSite().tell()}`,
        );
      }
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
      const value = { kind: "tensor", dtype, shape, bytes } as const;
      const attributes = { dtype: typeOf(dtype), value };
      course.references.set(id, addNode(course, { op: "Const", inputs: [], attributes }));
    }
    return id;
  }
}

function partOf({ part }: Course): { readonly part?: NodePart } {
  return part === null ? {} : { part };
}

function addNode(course: Course, made: Omit<GraphNode, "name">): string {
  const node = { name: `n${course.nodes.length}`, ...made, ...partOf(course) };
  course.nodes.push(node);
  course.byName.set(node.name, node);
  course.origins.set(node.name, new CallSite());
  return node.name;
}

/** Names the layer of an op by the parameter that is nearest on the way to it. */
function placeOf(course: Course, sources: readonly (string | undefined)[]): string {
  const seen = new Set<string>();
  const open = sources.filter((source) => source !== undefined);
  for (let reference = open.shift(); reference !== undefined; reference = open.shift()) {
    const parameter = course.parameters.get(reference);
    if (parameter !== undefined) return ` near ${parameter}`;
    const name = reference.split(":")[0] ?? reference;
    if (seen.has(name)) continue;
    seen.add(name);
    open.push(...(course.byName.get(name)?.inputs ?? []));
  }
  return "";
}
