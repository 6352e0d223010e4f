/**
 * Records what an eager tfjs program asks of the native binding: every op and every constant, as graph nodes. It stands
 * between tfjs's backend and the binding; while nothing is recorded it only passes calls on.
 */
import type { OpAttribute, TensorFlowBinding, TensorMetadata, TensorValues } from "./binding.ts";
import { typeOf, type AttributeValue, type GraphNode } from "./graph-node.ts";

/** One recorded run of a program. References are names within the recording. */
export interface Recording {
  readonly nodes: readonly GraphNode[];
  /** Where each constant was made: the first frames of its stack, by node name. */
  readonly origins: ReadonlyMap<string, string>;
  /** References of the outputs, by output name. */
  readonly outputs: Readonly<Record<string, string>>;
}

/** A program cannot be recorded; the message names the op and the place. */
export class RecordingError extends Error {
  override readonly name = "RecordingError";
}

/** Frames of our own and of tfjs say nothing about the model. */
function callSite(): string {
  const frames = (new Error("here").stack ?? "").split("\n").slice(1);
  const telling = frames.filter(
    (frame) => !/node_modules|recorder\.ts|node:internal|tfjs-core/.test(frame),
  );
  return telling
    .slice(0, 3)
    .map((frame) => frame.trim().replace(/^at /, ""))
    .join(" ← ");
}

function attributeOf(
  binding: TensorFlowBinding,
  op: string,
  attribute: OpAttribute,
): AttributeValue {
  const { type, value } = attribute;
  if (type === binding.TF_ATTR_TYPE && typeof value === "number") return typeOf(value);
  if (type === binding.TF_ATTR_BOOL) return { kind: "bool", bool: Boolean(value) };
  if (type === binding.TF_ATTR_FLOAT && typeof value === "number")
    return { kind: "float", float: value };
  if (type === binding.TF_ATTR_STRING && typeof value === "string")
    return { kind: "string", string: value };
  if (type === binding.TF_ATTR_SHAPE && Array.isArray(value))
    return { kind: "shape", shape: value.map(Number) };
  if (type === binding.TF_ATTR_INT) {
    if (typeof value === "number") return { kind: "int", int: value };
    if (Array.isArray(value)) return { kind: "ints", ints: value.map(Number) };
  }
  throw new RecordingError(
    `Cannot record ${op}: attribute ${attribute.name} has type ${type} and value ${JSON.stringify(value)}; at ${callSite()}`,
  );
}

/** tfjs leaves the type of these ops to eager TensorFlow, which infers it; a graph has to state it. */
const untypedOps: ReadonlySet<string> = new Set(["ExpandDims"]);

function inferredAttributes(
  op: string,
  outputs: readonly TensorMetadata[],
): Readonly<Record<string, AttributeValue>> {
  const [output] = outputs;
  return untypedOps.has(op) && output !== undefined ? { T: typeOf(output.dtype) } : {};
}

/** Stands between tfjs's backend and the binding. */
export class RecordingBinding {
  readonly real: TensorFlowBinding;
  #nodes: GraphNode[] | null = null;
  #origins = new Map<string, string>();
  #references = new Map<number, string>();

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
   * Records what `run` does.
   * @param known references of the tensors that exist before: inputs and variables, by tensor id
   * @param run the program; returns the ids of its output tensors by name
   */
  record(
    known: ReadonlyMap<number, string>,
    run: () => Readonly<Record<string, number>>,
  ): Recording {
    if (this.#nodes !== null) throw new Error("Cannot record a program within a program");
    const nodes: GraphNode[] = [];
    this.#nodes = nodes;
    this.#origins = new Map();
    this.#references = new Map(known);
    try {
      const outputs = Object.entries(run()).map(([name, id]) => [
        name,
        this.#referenceOf(id, "an output"),
      ]);
      return {
        nodes,
        origins: this.#origins,
        outputs: Object.fromEntries(outputs) as Record<string, string>,
      };
    } finally {
      this.#nodes = null;
    }
  }

  #referenceOf(id: number, user: string): string {
    const reference = this.#references.get(id);
    if (reference === undefined) {
      throw new RecordingError(
        `Cannot record ${user}: it uses a tensor that was made outside of the program; at ${callSite()}`,
      );
    }
    return reference;
  }

  #executeOp(
    op: string,
    attributes: OpAttribute[],
    inputs: number[],
    outputCount: number,
  ): TensorMetadata[] {
    const outputs = this.real.executeOp(op, attributes, inputs, outputCount);
    if (this.#nodes !== null) {
      const name = `n${this.#nodes.length}`;
      this.#nodes.push({
        name,
        op,
        inputs: inputs.map((id) => this.#referenceOf(id, op)),
        attributes: {
          ...inferredAttributes(op, outputs),
          ...Object.fromEntries(
            attributes.map((attribute) => [attribute.name, attributeOf(this.real, op, attribute)]),
          ),
        },
      });
      outputs.forEach((output, index) => {
        this.#references.set(output.id, index === 0 ? name : `${name}:${index}`);
      });
    }
    return outputs;
  }

  #createTensor(shape: number[], dtype: number, values: TensorValues): number {
    const id = this.real.createTensor(shape, dtype, values);
    if (this.#nodes !== null) {
      const name = `n${this.#nodes.length}`;
      const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength).slice();
      this.#nodes.push({
        name,
        op: "Const",
        inputs: [],
        attributes: { dtype: typeOf(dtype), value: { kind: "tensor", dtype, shape, bytes } },
      });
      this.#origins.set(name, callSite());
      this.#references.set(id, name);
    }
    return id;
  }
}

function sameAttribute(
  left: AttributeValue | undefined,
  right: AttributeValue | undefined,
): boolean {
  if (left?.kind === "tensor" && right?.kind === "tensor") {
    const shapes = left.shape.join(",") === right.shape.join(",");
    return shapes && left.dtype === right.dtype && Buffer.from(left.bytes).equals(right.bytes);
  }
  return JSON.stringify(left) === JSON.stringify(right);
}

/**
 * Compares two recordings of one program that were made with other inputs, seeds and step. What differs was computed by
 * the host (from `dataSync`, a step number, a random number of JavaScript) and would be frozen in the graph; the error
 * names its call site. Reading values is no error by itself: tfjs's own kernels do it to check arguments.
 */
export function refuseFrozenValues(program: string, first: Recording, second: Recording): void {
  const count = Math.max(first.nodes.length, second.nodes.length);
  for (let index = 0; index < count; index++) {
    const left = first.nodes[index];
    const right = second.nodes[index];
    const names = new Set([
      ...Object.keys(left?.attributes ?? {}),
      ...Object.keys(right?.attributes ?? {}),
    ]);
    const differs =
      left?.op !== right?.op ||
      left?.inputs.join() !== right?.inputs.join() ||
      [...names].some((name) => !sameAttribute(left?.attributes[name], right?.attributes[name]));
    if (differs) {
      const origin = first.origins.get(left?.name ?? "") ?? "an op that depends on a host value";
      throw new RecordingError(
        `Cannot record ${program}: ${left?.op ?? right?.op ?? "an op"} differs between two runs with other ` +
          `inputs, so a host value would be frozen; made at ${origin}`,
      );
    }
  }
  if (JSON.stringify(first.outputs) !== JSON.stringify(second.outputs)) {
    throw new RecordingError(`Cannot record ${program}: its outputs differ between two runs`);
  }
}
